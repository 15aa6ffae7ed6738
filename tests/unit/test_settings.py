"""The user's preferences."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from studio.settings import RECENT, Settings, Theme, default_workspace, settings_path


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.toml"
    settings = Settings.load(path)
    assert settings == Settings()
    settings.update(path, theme="high contrast", shortcuts={"rate.positive": ["9", "Num+9"]}, annotator_name="Ada é")
    assert settings.theme is Theme.HIGH_CONTRAST
    again = Settings.load(path)
    assert again == settings
    assert again.shortcuts == {"rate.positive": ["9", "Num+9"]}


def test_what_cannot_be_set_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    settings = Settings()
    for wrong in ({"theme": "pink"}, {"scale": "big"}, {"colour": 1}):
        with pytest.raises(ValueError, match=r"pink|big|str|colour"):
            settings.update(path, **wrong)
    assert settings == Settings()
    assert not path.exists()


def test_a_broken_file_is_kept_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('theme = "pink"')
    with caplog.at_level(logging.WARNING):
        assert Settings.load(path) == Settings()
    assert "pink" in caplog.text
    assert (tmp_path / "settings.toml.broken").read_text() == 'theme = "pink"'
    assert not path.exists()


def test_keys_of_another_version_stay(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('later = "kept"\nscale = 1.5\n')
    settings = Settings.load(path)
    settings.update(path, annotator_name="Ada")
    assert 'later = "kept"' in path.read_text()
    assert Settings.load(path).scale == 1.5


def test_the_recent_list_has_no_doubles_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    settings = Settings()
    for number in [*range(20), 12]:
        settings.remember(f"/w{number}", path)
    assert settings.recent[:3] == ["/w12", "/w19", "/w18"]
    assert len(settings.recent) == RECENT


def test_the_places_follow_the_users_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert settings_path() == tmp_path / "config" / "steplens" / "settings.toml"
    assert default_workspace() == tmp_path / "data" / "steplens" / "workspace"
