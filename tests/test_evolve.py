"""Evol-Instruct with writers that are files of answers: rounds, filters, lineage, budget, and what a kill leaves."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import served

from rrtf.checkpoints import resolve
from rrtf.problems.data_settings import Evolve
from rrtf.problems.evolve import ENTRY_POINT, evolve
from rrtf.problems.evolve_filters import RULES, Rewriting, failure
from rrtf.problems.evolve_prompts import METHODS, choose, request, rewritten
from rrtf.problems.formats import read_problems
from rrtf.profiles import Profile, Style, render
from rrtf.records import Candidate, Problem, Role, TestKind, Tests
from rrtf.sampling.settings import Decoding, OpenAICompatible
from rrtf.sampling.stage import sample

TASK = "Return the longest word of a sentence; of several, the first."
HARDER = "Return the longest word of a sentence, ignoring punctuation and digits; of several, the one that ends last."
SETTINGS = Evolve()


def seed(number: int = 0) -> Problem:
    text = f"Return the longest word of sentence number {number}; of several, the first."
    tests = Tests(kind=TestKind.asserts, asserts=("assert longest('a bc') == 'bc'",))
    return Problem(task_id=f"seed/{number}", text=text, entry_point="longest", reference="def longest(s): ...", tests=tests)


def answer(message: Problem, text: str, *, finish: str = "stop", tokens: int = 10) -> Candidate:
    return Candidate(
        task_id=message.task_id,
        source="writer",
        role=Role.teacher,
        sample=0,
        temperature=1.0,
        seed=0,
        prompt=message.text,
        response=text,
        program="",
        tokens=tokens,
        finish=finish,
    )


def task_in(message: Problem) -> str:
    return message.text.rpartition("The task:\n")[2]


def honest(messages: Sequence[Problem]) -> Iterator[Candidate]:
    """Adds a requirement of its own to each task."""
    words = ["punctuation", "digits", "hyphens", "capitals", "umlauts", "spaces", "quotes", "brackets"]
    for message in messages:
        extra = words[len(task_in(message)) % len(words)]
        yield answer(
            message, f"Rewritten task: {task_in(message)} Before that, strip {extra} in round {message.task_id[-30:]}."
        )


def test_each_round_builds_on_the_last_and_parents_tell_the_lineage() -> None:
    result = evolve([seed(0), seed(1)], honest, Evolve(rounds=3))
    assert result.dropped == []
    assert len(result.problems) == 2 + 3 * 2
    last = result.problems[-1]
    known = {one.task_id: one for one in result.problems}
    line = [last]
    while line[0].parent:
        line.insert(0, known[line[0].parent])
    assert line[0].task_id == "seed/1"
    assert len(line) == 4
    assert all(child.text.startswith(parent.text) for parent, child in zip(line, line[1:], strict=False))


def test_an_evolved_problem_carries_nothing_that_no_longer_holds() -> None:
    (child,) = evolve([seed()], honest, Evolve(rounds=1, keep_seeds=False)).problems
    assert (child.reference, child.signature, child.prompt) == ("", "", "")
    assert child.tests == Tests(kind=TestKind.asserts)
    assert (child.entry_point, child.parent) == ("longest", "seed/0")
    nameless = replace(seed(), entry_point="")
    assert evolve([nameless], honest, Evolve(rounds=1)).problems[-1].entry_point == ENTRY_POINT


def test_a_failure_is_named_and_the_task_goes_on_from_where_it_was() -> None:
    def fails_once(messages: Sequence[Problem]) -> Iterable[Candidate]:
        return [answer(message, task_in(message)) for message in messages] if "~1" in messages[0].task_id else honest(messages)

    result = evolve([seed()], fails_once, Evolve(rounds=2))
    assert [(one.rule, one.step) for one in result.dropped] == [("copy", "evolve")]
    assert [one.parent for one in result.problems] == ["", "seed/0"]


def test_answers_that_never_came_are_visible() -> None:
    result = evolve([seed(0), seed(1)], lambda messages: [*honest(messages)][:1], Evolve(rounds=1))
    assert [(one.task_id.partition("~")[0], one.rule) for one in result.dropped] == [("seed/1", "no_answer")]


def test_the_same_answer_twice_is_kept_once() -> None:
    def same(messages: Sequence[Problem]) -> Iterator[Candidate]:
        return (answer(message, HARDER) for message in messages)

    result = evolve([seed(0), seed(1)], same, Evolve(rounds=1))
    assert [one.rule for one in result.dropped] == ["repeated"]


def test_the_budget_in_tokens_ends_it_and_says_so() -> None:
    result = evolve([seed(i) for i in range(10)], honest, Evolve(rounds=4, budget_tokens=75, batch=4))
    assert result.asked == 8
    assert result.written_tokens == 80
    assert "budget_tokens is 75" in result.stopped


def test_the_budget_in_money_counts_prompt_and_answer() -> None:
    limits = Evolve(rounds=1, budget_money=0.001, input_price=1.0, output_price=10.0, batch=1)
    result = evolve([seed(i) for i in range(50)], honest, limits)
    assert 0.001 <= result.money < 0.002
    assert result.asked < 50
    assert evolve([seed()], honest, Evolve(rounds=1)).stopped == ""


def test_a_second_run_asks_the_same_and_other_seeds_change_nothing() -> None:
    asked: list[list[tuple[str, str]]] = []

    def recording(messages: Sequence[Problem]) -> Iterator[Candidate]:
        asked.append([(message.task_id, message.text) for message in messages])
        return honest(messages)

    alone = evolve([seed(3)], recording, Evolve(rounds=2))
    together = evolve([seed(1), seed(3), seed(2)], recording, Evolve(rounds=2))
    assert {pair for batch in asked[:2] for pair in batch} <= {pair for batch in asked[2:] for pair in batch}
    assert [one for one in together.problems if one.task_id.startswith("seed/3")] == alone.problems


def test_methods_are_drawn_by_weight() -> None:
    drawn = [choose(seed(i), SETTINGS, round=1) for i in range(900)]
    assert {method: pytest.approx(200, abs=60) for method in METHODS if method != "complexity"} | {
        "complexity": pytest.approx(100, abs=45)
    } == {method: drawn.count(method) for method in METHODS}
    assert {choose(seed(i), Evolve(methods={"steps": 1.0}), round=2) for i in range(20)} == {"steps"}


def test_the_prompt_asks_what_the_papers_figure_2_asks() -> None:
    for method, change in METHODS.items():
        text = request(seed(), method, round=1).text
        for part in (change, seed().text, "answerable", "stand by itself", "keep any code, table or input", "`longest`"):
            assert part in text
    prompt = render(request(seed(), "steps", round=1), Profile(style=Style.verbatim))
    assert [message.content for message in prompt.messages] == [request(seed(), "steps", round=1).text]


@pytest.mark.parametrize(
    "response",
    [
        "Return it.",
        "  Rewritten Task: Return it.",
        "**Harder task:** Return it.",
        "Sure, here is a harder task:\n\nReturn it.",
        "```\nReturn it.\n```",
        '"Return it."',
        "<think>\nHarder: return two.\n</think>\n\nRewritten task: Return it.",
        "### Task\nReturn it.".replace("### Task", "### Task:"),
    ],
)
def test_headings_and_wrappings_are_taken_off(response: str) -> None:
    assert rewritten(response) == "Return it."


BAD = {
    "empty": "The of a and.",
    "cut": "Return the longest word of a sentence without digits and a length of",
    "leaked": f"{HARDER} This makes the given task harder.",
    "copy": TASK.upper(),
    "too_long": HARDER + " Also mind this." * 60,
    "solved": f"{HARDER}\n```python\ndef longest(s):\n    return max(s.split(), key=len)\n```",
    "unanswerable": "Return the longest word of the sentence shown in the picture, without digits.",
    "off_topic": "Multiply two matrices modulo a prime.",
    "no_gain": "Of a sentence, return the first longest word, then; and of several 7 words the longest.",
}


def test_there_is_an_example_of_every_failure() -> None:
    assert set(BAD) == set(RULES) == set(SETTINGS.rules)


@pytest.mark.parametrize("rule", RULES)
def test_a_filter_sees_its_failure_only_while_it_is_on(rule: str) -> None:
    rewriting = Rewriting(TASK, BAD[rule], "constraints", "stop")
    alone = Evolve(rules={name: name == rule for name in RULES})
    assert failure(rewriting, alone)[0] == rule
    assert failure(rewriting, Evolve(rules=SETTINGS.rules | {rule: False}))[0] != rule
    assert failure(Rewriting(TASK, HARDER, "constraints", "stop"), SETTINGS) == ("", "")


def test_the_token_limit_is_a_cut_and_misdirection_may_show_code() -> None:
    assert failure(Rewriting(TASK, HARDER, "constraints", "length"), SETTINGS)[0] == "cut"
    assert failure(Rewriting(TASK, BAD["solved"], "misdirection", "stop"), SETTINGS)[0] == ""


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_answer_is_taken(task: str, text: str) -> None:
    assert failure(Rewriting(task, rewritten(text), "steps", "stop"), SETTINGS)[0] in {*RULES, ""}


def test_on_real_pairs_copies_and_leaks_go_and_most_rewritings_stay(shared: Path) -> None:
    before = list(islice(read_problems(shared / "evolinstruct/converted_alpaca_2k.json.gz", untested=True), 400))
    after = list(islice(read_problems(shared / "evolinstruct/evol-codealpaca-2k-1.json.gz", untested=True), 300))
    assert all(failure(Rewriting(one.text, one.text, "steps", "stop"), SETTINGS)[0] for one in before)
    pairs = [(parent, one) for one in after if (parent := _closest(one, before))]
    assert len(pairs) > 150
    rules = [failure(Rewriting(parent.text, one.text, "misdirection", "stop"), SETTINGS)[0] for parent, one in pairs]
    assert rules.count("") > 0.8 * len(pairs)
    leaks = [rule for rule, (_, one) in zip(rules, pairs, strict=True) if re.search("rewritten test", one.text, re.IGNORECASE)]
    assert set(leaks) <= {"leaked", "cut", "empty"}


def _closest(one: Problem, seeds: Sequence[Problem]) -> Problem | None:
    """The seed whose first 40 characters this text repeats, if there is just one."""
    found = [parent for parent in seeds if parent.text[:40] == one.text[:40]]
    return found[0] if len(found) == 1 else None


def test_wrong_settings_are_all_named() -> None:
    wrong: Callable[[], list[str]] = Evolve(
        rounds=0, copy=0.0, methods={"magic": 1.0}, rules={"nope": True}, budget_money=1.0
    ).mistakes
    assert len(wrong()) >= 5
    assert Evolve().mistakes() == []


@pytest.mark.slow
def test_a_real_model_behind_a_real_server_evolves_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    """SmolLM2-135M behind `transformers serve`, through the sample stage; killed servers don't matter to a finished cache."""
    checkpoint = resolve("HuggingFaceTB/SmolLM2-135M-Instruct")
    with served() as address:
        source = OpenAICompatible(
            model=str(checkpoint.path), base_url=address, key_variable="", profile=Profile(style=Style.verbatim)
        )
        result = evolve([seed(0), seed(1)], asking(source, tmp_path / "answers.log"), Evolve(rounds=1))
    assert result.asked == 2
    assert result.written_tokens > 0
    assert len(result.problems) - 2 + len(result.dropped) == 2
    again = evolve([seed(0), seed(1)], asking(source, tmp_path / "answers.log"), Evolve(rounds=1))
    assert again == result


def asking(source: OpenAICompatible, cache: Path) -> Callable[[Sequence[Problem]], Iterator[Candidate]]:
    decoding = Decoding(n=1, temperatures=[0.7], max_new_tokens=96)
    return lambda messages: sample(messages, source, decoding, name="writer", role=Role.teacher, cache=cache)
