"""Keys of servers: in the keyring, over stdin to the worker, and in no file on the way."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest

from studio import cli, secrets
from studio.errors import KeyringError
from studio.jobs.launcher import keys_for, start_worker
from trainer.contract.keys import FROM_STDIN, KeyMissing, Keys, is_name, names_in, pack
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import RunSpec, SpecError, build, parameters

KEY = "sk-proj-very-secret"


class InMemory(keyring.backend.KeyringBackend):
    """A keyring that lives as long as its test."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _open(self) -> dict[tuple[str, str], str]:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.kept

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self._open().get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        del self._open()[service, username]


@pytest.fixture
def ring() -> Iterator[InMemory]:
    before = keyring.get_keyring()
    mine = InMemory()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


def run_that_names(path: Path, key: str) -> RunFolder:
    folder = RunFolder(path)
    given = parameters(build("rl", {"server_key": key, "generation": "server", "server": "http://127.0.0.1:1"}))
    folder.create(RunSpec(run="r", name="r", recipe="rl", parameters=given), ())
    return folder


def test_a_key_is_kept_read_and_forgotten(ring: InMemory, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert cli.main(["key", "set", "MY_KEY"]) == 0
    assert ring.kept == {("steplens", "MY_KEY"): KEY}
    assert cli.main(["key", "check", "MY_KEY"]) == 0
    assert cli.main(["key", "forget", "MY_KEY"]) == 0
    assert cli.main(["key", "check", "MY_KEY"]) == 1
    assert cli.main(["key", "forget", "MY_KEY"]) == 1
    assert KEY not in "".join(capsys.readouterr())


def test_what_cannot_be_kept_says_why_without_showing_it(ring: InMemory) -> None:
    with pytest.raises(KeyringError, match="no name of a key") as caught:
        secrets.put(KEY, "x")
    assert KEY not in str(caught.value)
    with pytest.raises(KeyringError, match="white space"):
        secrets.put("MY_KEY", f"{KEY} ")
    ring.is_locked = True
    for call in (lambda: secrets.get("MY_KEY"), lambda: secrets.put("MY_KEY", KEY), lambda: secrets.forget("MY_KEY")):
        with pytest.raises(KeyringError, match=r"KeyringLocked: locked.*environment variable MY_KEY") as caught:
            call()
        assert KEY not in str(caught.value)


def test_a_key_in_the_place_of_its_name_never_reaches_a_spec() -> None:
    with pytest.raises(SpecError, match=r"rl\.server_key is no name of a key") as caught:
        build("rl", {"server_key": KEY})
    assert KEY not in str(caught.value)
    assert names_in({"server_key": "A", "judge_key": "B", "other_key": "", "key": "C", "twin_key": "A"}) == ("A", "B")


def test_an_address_with_more_than_an_address_never_reaches_a_spec() -> None:
    for recipe, name in (("route", "fast_url"), ("route", "reasoning_url"), ("monitor", "judge_url"), ("rl", "server")):
        for url in (f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://host/v1#{KEY}"):
            with pytest.raises(SpecError, match=rf"{recipe}\.{name} holds .* bare address") as caught:
                build(recipe, {name: url})
            assert KEY not in str(caught.value)
        build(recipe, {name: "https://host:8000/v1"})


def test_the_launcher_takes_from_the_keyring_what_the_run_names(ring: InMemory, tmp_path: Path) -> None:
    folder = run_that_names(tmp_path / "run", "MY_KEY")
    assert keys_for(folder) == {}
    secrets.put("MY_KEY", KEY)
    secrets.put("ANOTHER", "nobody asked for it")
    assert keys_for(folder) == {"MY_KEY": KEY}
    ring.is_locked = True
    assert keys_for(folder) == {}  # the worker then says what to do


def test_the_worker_gets_its_keys_on_stdin_and_nowhere_else(tmp_path: Path) -> None:
    folder = run_that_names(tmp_path / "run", "MY_KEY")
    program = tmp_path / "bin" / "trainer"
    program.mkdir(parents=True)
    (program / "__init__.py").write_text("")
    (program / "__main__.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "line = sys.stdin.buffer.readline()\n"
        "rest = sys.stdin.buffer.read()\n"
        "seen = ' '.join([*sys.argv, *os.environ.values()])\n"
        f"Path('told').write_text(repr((line, rest, os.environ.get({FROM_STDIN!r}), {KEY!r} in seen)))\n"
    )
    for handed, wanted in (
        ({"MY_KEY": KEY}, (pack({"MY_KEY": KEY}), b"", "stdin", False)),
        ({}, (b"", b"", None, False)),
    ):
        child = start_worker(folder, sys.executable, program.parent, handed)
        assert child.wait(60) == 0, folder.tail_of_log()
        assert (folder.path / "told").read_text() == repr(wanted)
        (folder.path / "told").unlink()
    assert not [file for file in folder.path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def test_a_worker_that_dies_at_once_is_no_error_of_the_launcher(tmp_path: Path) -> None:
    folder = run_that_names(tmp_path / "run", "MY_KEY")
    child = start_worker(folder, "/bin/false", tmp_path, {"MY_KEY": KEY * 1000})
    assert child.wait(60) == 1


def test_keys_are_found_in_what_was_handed_over_then_in_the_environment() -> None:
    handed = Keys.handed(io.BytesIO(pack({"A": "1", "B": "2"})), {FROM_STDIN: "stdin"})
    assert handed.of("A", {"A": "other"}) == "1"
    assert handed.of("C", {"C": "3"}) == "3"
    assert handed.of("", {}) == ""
    assert "1" not in repr(handed)
    with pytest.raises(KeyMissing, match=r"`steplens key set D`, or set the environment variable D"):
        handed.of("D", {})
    assert Keys.handed(io.BytesIO(b"never read"), {}).of("A", {"A": "env"}) == "env"


def test_reading_the_studio_loads_no_keyring() -> None:
    code = "import sys, studio.secrets, studio.jobs.launcher; print('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("key", ["hf_" + "aB3" * 11 + "x", "ghp_" + "a1" * 18, "sk_live_" + "a1B" * 8, "0f" * 16])
def test_a_key_made_of_letters_digits_and_underscores_is_no_name(key: str) -> None:
    assert not is_name(key)
    with pytest.raises(SpecError) as caught:
        build("rl", {"model": "x", "server_key": key})
    assert key not in str(caught.value)
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_HUGGINGFACEHUB_KEY", "k"):
        assert is_name(name)
