"""Find with places: every span that reading all texts would find, and only those; no expression hangs."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex
from sqlalchemy import insert, update

from studio.errors import CancelledError, FindError, TooSlowError
from studio.store import batches, find, find_pattern, find_runs, find_spans, projects, rubrics, traces
from studio.store import schema as s
from studio.store.database import Database
from studio.store.find_pattern import Expression, Found, Mode
from studio.store.find_spans import Place, Query
from studio.store.find_words import Vocabulary
from studio.store.rubrics import Draft
from trainer.contract.records import Block, BlockKind, Message, Step

WORDS = [
    "so",
    "the",
    "first",
    "term",
    "wait",
    "therefore",
    "substituting",
    "back",
    "42",
    "x_1",
    "naïve",
    "Größe",
    "frac",
    "sum12",
    "sub",
]


def conversation(texts: list[tuple[str, BlockKind, str]]) -> traces.NewTrace:
    text, messages = "", []
    for role, kind, part in texts:
        messages.append(Message(role, (Block(kind, len(text), len(text) + len(part)),)))
        text += part
    return traces.NewTrace("How many?", text, tuple(messages), (Step(0, 0, len(text)),))


def add(database: Database, *new: traces.NewTrace, project: bool = False) -> list[int]:
    with database.write() as c:
        owner = projects.create(c, "Here").id if project else None
        batch = batches.begin(c, "sample", owner)
        ids = [traces.add(c, each, batch_id=batch, project_id=owner).trace_id for each in new]
        batches.publish(c, batch, {})
    return ids


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "workspace.db")
    yield opened
    opened.close()


@pytest.fixture
def talk(database: Database) -> int:
    parts = [
        ("user", BlockKind.OTHER, "How many primes?\n"),
        ("assistant", BlockKind.THINKING, "Seven primes, I guess.\n"),
        ("assistant", BlockKind.TOOL_CALL, "bash: primes 20\n"),
        ("tool", BlockKind.TOOL_RESULT, "2 3 5 7 primes\n"),
        ("assistant", BlockKind.ANSWER, "There are eight primes."),
    ]
    return add(database, conversation(parts))[0]


def found(database: Database, query: Query, *, known: bool = False) -> list[tuple[int, list[str]]]:
    """Trace ids with the texts of their spans."""
    with database.read() as c:
        vocabulary = Vocabulary.read(c) if known else None
        hits = find_spans.search(c, query, vocabulary=vocabulary, limit=10_000).hits
        loaded = {t.id: t for t in traces.load_many(c, [h.trace_id for h in hits])}
    said = {h.trace_id: (loaded[h.trace_id].problem.prompt, loaded[h.trace_id].text) for h in hits}
    return [
        (h.trace_id, [said[h.trace_id][s.place is not Place.PROBLEM][s.start : s.end] for s in h.spans]) for h in hits
    ]


def places(database: Database, query: Query) -> list[Place]:
    with database.read() as c:
        return [span.place for hit in find_spans.search(c, query).hits for span in hit.spans]


def test_each_span_says_where_it_stands(database: Database, talk: int) -> None:
    assert places(database, Query("primes")) == [
        Place.OTHER, Place.THINKING, Place.TOOL, Place.TOOL, Place.ANSWER,
    ]  # fmt: skip
    assert places(database, Query('"how many"')) == [Place.PROBLEM, Place.OTHER]


@pytest.mark.parametrize("place", [Place.THINKING, Place.ANSWER, Place.TOOL, Place.PROBLEM])
def test_only_the_asked_place_is_read(database: Database, talk: int, place: Place) -> None:
    only = frozenset({place})
    assert set(places(database, Query("primes", places=only))) == ({place} if place is not Place.PROBLEM else set())
    assert set(places(database, Query("many|primes", Mode.REGEX, places=only))) == {place}


def test_a_role_leaves_the_others_out(database: Database, talk: int) -> None:
    assert places(database, Query("primes", role="tool")) == [Place.TOOL]
    assert places(database, Query("primes", role="user")) == [Place.OTHER]
    assert places(database, Query("guess eight", role="assistant")) == [Place.THINKING, Place.ANSWER]
    assert places(database, Query("guess eight", role="user")) == []


def test_a_stored_response_is_split_at_its_marks(database: Database) -> None:
    text = "<think>It is four.</think>The answer is four."
    add(database, traces.NewTrace("2 + 2?", text, (), (Step(0, 0, len(text)),)))
    assert places(database, Query("four")) == [Place.THINKING, Place.ANSWER]
    assert places(database, Query("four", places=frozenset({Place.ANSWER}))) == [Place.ANSWER]


def test_every_part_must_stand_somewhere(database: Database, talk: int) -> None:
    assert found(database, Query("seven eight")) == [(talk, ["Seven", "eight"])]
    assert found(database, Query("seven nine")) == []
    assert found(database, Query('"primes i guess"')) == [(talk, ["primes, I guess"])]
    assert found(database, Query("SEVEN", match_case=True)) == []
    assert found(database, Query("Seven", match_case=True)) == [(talk, ["Seven"])]


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(WORDS) + rng.choice([" ", ", ", "\n", "-", " = ", "_", ". "]) for _ in range(60))


def tokens(text: str) -> list[tuple[str, int, int]]:
    """Words of a text as unicode61 cuts and folds them, with their places: the independent calculation."""
    return [(find_pattern.fold(m[0]).lower(), m.start(), m.end()) for m in re.finditer(r"[^\W_]+", text)]


def by_reading(text: str, phrase: list[str], *, goes_on: bool) -> list[str]:
    """Every stretch of `text` in which the words of the phrase follow each other, read word by word."""
    cut, result, at = tokens(text), [], 0
    while at + len(phrase) <= len(cut):
        stretch = [word for word, _, _ in cut[at : at + len(phrase)]]
        last = stretch[-1].startswith(phrase[-1]) if goes_on else stretch[-1] == phrase[-1]
        if stretch[:-1] == phrase[:-1] and last:
            result.append(text[cut[at][1] : cut[at + len(phrase) - 1][2]])
            at += len(phrase)
        else:
            at += 1
    return result


def test_words_are_those_that_reading_finds(database: Database) -> None:
    rng = random.Random(1)
    new = [traces.from_steps("?" * (k + 1), [random_text(rng)]) for k in range(40)]
    ids = add(database, *new)
    for _ in range(120):
        phrase = [w.lower() for w in rng.choices([t for w in WORDS for t, _, _ in tokens(w)], k=rng.randint(1, 3))]
        goes_on = len(phrase[-1]) >= 2
        expected = [(id, by_reading(t.text, phrase, goes_on=goes_on)) for id, t in zip(ids, new, strict=True)]
        got = found(database, Query('"' + " ".join(phrase) + '"'))
        assert got == [(id, spans) for id, spans in expected if spans], phrase


EXPRESSIONS = [
    r"substi\w+", r"bstitut", r"the first", r"there\w*", r"wait[,.]? the", r"\bsub\b", r"x_1", r"(?:so|sub) the",
    r"\d\d", r"Gr..e", r"first.{1,9}term", r"term$", r"(wait)+", r"[a-z]+ing", r"sum12|frac", r"42(?= x)", r"(\w+) \1",
    r"naïve", r"so(?:, the)?", r"\p{Lu}",
]  # fmt: skip


@pytest.mark.parametrize("known", [False, True], ids=["reading all", "by the words"])
def test_expressions_are_those_that_reading_finds(database: Database, known: bool) -> None:
    rng = random.Random(2)
    new = [traces.from_steps("?" * (k + 1), [random_text(rng)]) for k in range(40)]
    ids = add(database, *new)
    for expression in EXPRESSIONS:
        python = expression.replace(r"\p{Lu}", "[A-Z]")
        read = [(id, [m[0] for m in re.finditer(python, t.text, re.I | re.M)]) for id, t in zip(ids, new, strict=True)]
        cased = [(id, [m[0] for m in re.finditer(python, t.text, re.M)]) for id, t in zip(ids, new, strict=True)]
        if r"\p" not in expression:  # a class of capitals is every letter when the case does not count
            any_case = [(id, spans) for id, spans in read if spans]
            assert found(database, Query(expression, Mode.REGEX), known=known) == any_case, expression
        exact = found(database, Query(expression, Mode.REGEX, match_case=True), known=known)
        assert exact == [(id, spans) for id, spans in cased if spans], expression


def test_the_words_spare_reading(database: Database) -> None:
    add(database, *(traces.from_steps(f"{k}", [f"nothing but word{k}"]) for k in range(50)))
    with database.read() as c:
        vocabulary = Vocabulary.read(c)
        one = find_spans.search(c, Query(r"ord37", Mode.REGEX), vocabulary=vocabulary)
        none = find_spans.search(c, Query(r"absent\d", Mode.REGEX), vocabulary=vocabulary)
        every = find_spans.search(c, Query(r"\d7", Mode.REGEX), vocabulary=vocabulary)
    assert (one.read, one.candidates, len(one.hits)) == (1, 1, 1)
    assert none.candidates == 0
    assert (every.read, every.candidates) == (50, 50)


def test_traces_newer_than_the_words_are_found(database: Database) -> None:
    add(database, traces.from_steps("a", ["old substitution"]))
    with database.read() as c:
        vocabulary = Vocabulary.read(c)
    newer = add(database, traces.from_steps("b", ["unheard-of prestitution"]))
    with database.read() as c:
        hits = find_spans.search(c, Query("stitut", Mode.REGEX), vocabulary=vocabulary).hits
        assert [
            h.trace_id for h in find_spans.search(c, Query("prest", Mode.REGEX), vocabulary=vocabulary).hits
        ] == newer
    assert len(hits) == 2


def test_filters_narrow(database: Database) -> None:
    ids = add(database, *(traces.from_steps(f"{k}", ["same words"]) for k in range(4)), project=True)
    other = add(database, traces.from_steps("9", ["same words"]))
    with database.write() as c:
        c.execute(update(s.trace).where(s.trace.c.id == ids[0]).values(model="small", outcome=1))
        c.execute(update(s.trace).where(s.trace.c.id == ids[1]).values(model="small", outcome=0))
        batch = batches.begin(c, "ingest", None)
        scorer = c.execute(insert(s.scorer).values(name="prm", version="1")).inserted_primary_key[0]
        for at, low in ((0, 0.9), (2, 0.1)):
            place = c.execute(s.segmentation.select().where(s.segmentation.c.trace_id == ids[at])).one()
            values = {"record": str(at), "trace_id": ids[at], "segmentation_id": place.id, "scorer_id": scorer}
            c.execute(insert(s.score).values(**values, batch_id=batch, data=b"", low=low))
        batches.publish(c, batch, {})

    def asked(**rest: object) -> list[int]:
        return [id for id, _ in found(database, Query("words", **rest))]  # type: ignore[arg-type]

    assert asked() == [*ids, *other]
    assert asked(model="small") == ids[:2]
    assert asked(model="small", outcome=0) == [ids[1]]
    assert asked(score_below=0.5) == [ids[2]]
    assert asked(score_below=0.5, scorer=scorer + 1) == []
    assert asked(project=1) == ids


def test_pages_follow_each_other(database: Database) -> None:
    ids = add(database, *(traces.from_steps(f"{k}", ["wait" if k % 3 else "go"]) for k in range(60)))
    wanted = [id for k, id in enumerate(ids) if k % 3]
    got, after = [], 0
    with database.read() as c:
        while after is not None:
            page = find_spans.search(c, Query("wait"), limit=7, after=after)
            got += [h.trace_id for h in page.hits]
            after = page.after
    assert got == wanted


def test_progress_is_told_and_a_person_can_cancel(database: Database) -> None:
    add(database, *(traces.from_steps(f"{k}", [f"step {k}"]) for k in range(100)))
    told: list[tuple[int, int]] = []
    with database.read() as c:
        find_spans.search(c, Query(r"\d\d", Mode.REGEX), limit=1000, told=lambda *t: told.append((t[0], t[1])))
        assert told[0] == (find_spans.FIRST_READ, 100)
        assert told[-1] == (100, 100)

        def stop() -> None:
            raise CancelledError("enough")

        with pytest.raises(CancelledError):
            find_spans.search(c, Query(r"\d\d", Mode.REGEX), check=stop)


EXPLODES = r"(a|aa)+$|(a+)+b"


def test_texts_on_which_an_expression_explodes_are_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_pattern, "LONGEST_TEXT_S", 0.1)
    ids = add(
        database, *(traces.from_steps(f"{k}", ["b" * k + ("ab" if k % 2 else "a" * 60 + "!")]) for k in range(40))
    )
    with database.read() as c:
        results = find_spans.search(c, Query(EXPLODES, Mode.REGEX))
        assert [hit.trace_id for hit in results.hits] == ids[1::2]
        assert list(results.left_out) == ids[0::2]
        assert (results.after, results.read) == (None, 40)
        page = find_spans.search(c, Query(EXPLODES, Mode.REGEX, places=frozenset({Place.ANSWER})), limit=2)
        assert ([hit.trace_id for hit in page.hits], page.left_out) == ([ids[1], ids[3]], (ids[0], ids[2]))
        with pytest.raises(TooSlowError, match=f"trace {ids[0]}"):
            rubrics.find(c, Draft("explodes", text=EXPLODES, mode=Mode.REGEX))


def test_many_slow_texts_do_not_each_take_the_whole_time() -> None:
    expression = Expression(regex.compile(EXPLODES), patience=0.08)
    text = "a" * 60 + "!"
    for _ in range(3):
        with pytest.raises(TooSlowError, match=r"\(a\+\)\+"):
            list(expression.spans(text, [Found(0, len(text))]))
    assert expression.patience <= find_pattern.SHORT_S, "from now on a slow text takes this, not seconds"
    assert [(f.start, f.end) for f in expression.spans("xab", [Found(0, 3)])] == [(1, 3)]


@pytest.mark.parametrize(("expression", "at"), [("(", "2"), ("[a-", ""), ("*a", "1")])
def test_a_wrong_expression_says_where(database: Database, expression: str, at: str) -> None:
    with database.read() as c, pytest.raises(FindError, match=f"Not a regular expression.*{at}"):
        find_spans.search(c, Query(expression, Mode.REGEX))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abc", [["abc"]]),
        ("abcd.*xyz", [["abcd"], ["xyz"]]),
        ("abc|xyz", []),
        ("(abc)+d", [["abc"], ["d"]]),
        ("(abc)*d", [["d"]]),
        ("(?:abc)?def", [["def"]]),
        (r"\bword\b next", [["word", "next"]]),
        (r"\\frac\{", [["frac"]]),
        ("a{e<=1}bcd", []),
        ("ab[cd]ef", [["ab"]]),
        (r"let \d+ me", [["let"], ["me"]]),
        (r"let \d+x me", [["let", "x", "me"]]),
        (r"(?i:abc)", [["abc"]]),
        (r"(one) (two|three)", [["one", "t"]]),
        (r"naïve idea", [["na"], ["ve", "idea"]]),
        (r"\p{L}abc", []),
        ("[[:alpha:]]abc", []),
        ("(", []),
    ],
)
def test_runs_are_words_that_every_match_holds(expression: str, expected: list[list[str]]) -> None:
    assert [[word.start for word in run] for run in find_runs.runs(expression)] == expected


ALPHABET = ["ab", "abc", "b", "12", "3", "x1", "é", "²", "\u212a", "K", "_"]  # a sign of Kelvin is a k
PIECES = [
    "ab", "abc", "b", r"\d", r"\d+", r"\d{2}", "[a-c]+", "[0-9]", "c?", r"\b", " ", " ", "_", "1", "x", "(b)",
    "(?:ab|b)", ".", "(?:ab)+", "b*", "^", "$", r"\w", r"\s+", "k", "é",
]  # fmt: skip


def test_random_expressions_find_what_reading_all_texts_finds(database: Database) -> None:
    rng = random.Random(3)
    lines = [" ".join("".join(rng.choices(ALPHABET, k=rng.randint(1, 3))) for _ in range(6)) for _ in range(60)]
    ids = add(database, *(traces.from_steps("?" * (k + 1), lines[k : k + 2]) for k in range(59)))
    spared = 0
    with database.read() as c:
        vocabulary = Vocabulary.read(c)
        for _ in range(400):
            expression = "".join(rng.choices(PIECES, k=rng.randint(1, 6)))
            query = Query(expression, Mode.REGEX)
            every = find_spans.search(c, query, limit=100)
            some = find_spans.search(c, query, limit=100, vocabulary=vocabulary)
            assert some.hits == every.hits, expression
            spared += len(ids) - some.read
    assert spared > 2_000  # or the words were of no use


def test_a_word_is_asked_for_as_it_stands_in_the_index(database: Database) -> None:
    add(database, *(traces.from_steps(f"{k}", [f"angle{k} the end" if k % 2 else "so let it be"]) for k in range(200)))
    with database.read() as c:
        vocabulary = Vocabulary.read(c)

        def asked(expression: str) -> str:
            return vocabulary.expression(find_runs.runs(expression))

        assert asked(r"gle7\b") == '"angle7"'
        teens = " OR ".join(f'"angle{k}"' for k in (1, 11, 13, 15, 17, 19))
        assert asked(r"angle1\d the") == f"({teens})"
        assert asked("angle") == ""  # half of all
        assert asked("let the") == '"let the"*'  # each is in half of them: together they should be rarer
        assert asked(r"absent\d") == '"absent"'


def test_snippets_mark_the_span(database: Database, talk: int) -> None:
    with database.read() as c:
        hit = find_spans.search(c, Query("guess")).hits[0]
        assert f"{find.MARK_START}guess{find.MARK_END}" in hit.snippet
        assert find_spans.search(c, Query("")).hits == ()
