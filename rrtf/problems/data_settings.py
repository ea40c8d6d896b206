"""Settings of the data work: cleaning, decontamination, evolving, voted tests. Imports nothing but the standard library."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Decontaminate:
    """When a problem counts as a copy of a benchmark's; each of the three kinds of evidence suffices alone.

    The paper (section 3.3) looked for "potential overlap" with HumanEval and names no method, so every value here is ours,
    chosen on experiments/decontamination: planted copies found against alarms between sets that share nothing.
    """

    # words in one gram; half of MBPP's texts have under 15 words, so the usual 10 to 13 see nothing of them. With 3, a text
    # with every tenth word exchanged is still found (HumanEval 99 %, MBPP 79 %); with 8 it is not (51 %, 32 %)
    ngram: int = 3
    # share of the shorter text's grams, weighted by how rare each is in the benchmark, that must be shared; 0 switches this
    # off. At 0.5 no text of MBPP or LeetCode alarms on HumanEval, 0.5 % of LeetCode's on MBPP
    text: float = 0.5
    # fewer shared grams than this say nothing: two short texts that agree on one phrase
    text_grams: int = 4
    # share of the solution's tree shingles, weighted likewise; 0 switches this off
    tree: float = 0.8
    # shorter solutions (labels in the normalized tree) are the language's idioms, of which 80 % are the same in other tasks
    tree_labels: int = 24
    # a solution that is the same to the last label counts from this length on; of MBPP's and LeetCode's trees three equal one
    # of HumanEval's, and they are the same tasks (greatest common divisor, largest element, Fibonacci)
    tree_equal_labels: int = 12
    # keep literals in the tree; without them `x % 2` equals `x % 3`
    tree_constants: bool = True
    # tests (arguments and expected value) that must be shared; 0 switches this off
    tests: int = 2
    # and their share of the smaller set of tests
    tests_share: float = 0.3
    # and characters they hold together (a truth value counts one): 10 -> True and 12 -> True are common to many tasks
    tests_characters: int = 20

    def mistakes(self) -> list[str]:
        """All values outside their range."""
        found = [
            f"decontaminate.{name}: {value} is outside [0, 1]"
            for name, value in (("text", self.text), ("tree", self.tree), ("tests_share", self.tests_share))
            if not 0 <= value <= 1
        ]
        smallest = {"ngram": 1, "text_grams": 1, "tree_labels": 1, "tree_equal_labels": 1, "tests": 0, "tests_characters": 0}
        found += [
            f"decontaminate.{name}: {getattr(self, name)} is below {least}"
            for name, least in smallest.items()
            if getattr(self, name) < least
        ]
        if not (self.text or self.tree or self.tests):
            found.append("decontaminate: text, tree and tests are all 0, so nothing would ever be found")
        return found
