"""Settings of the data work: cleaning, decontamination, evolving, voted tests. Imports nothing but the standard library."""

from dataclasses import dataclass, field


def _rules() -> dict[str, bool]:
    """Every rule of rrtf.problems.clean; the last two are off because evolved problems get solutions and tests later."""
    texts = ["short_text", "long_text", "not_latin", "garbled", "repetitive", "leaked_instruction", "refusal"]
    tasks = ["missing_material", "needs_service", "other_language", "no_python", "no_function", "unfinished"]
    return dict.fromkeys(texts + tasks, True) | {"no_solution": False, "no_tests": False}


@dataclass(kw_only=True)
class Clean:
    """Rule filters and near duplicates. The paper cut 100K to 68K by "several manually-defined rules" that it does not give;
    all of this is ours.
    """

    # which rules are on, by name; rrtf.problems.clean says what each drops
    rules: dict[str, bool] = field(default_factory=_rules)
    # short_text: "Reverse a string" is the shortest task that still is one
    least_words: int = 3
    # long_text: 400 words are about 600 tokens; LeetCode's longest are near it
    most_words: int = 400
    # not_latin: share of letters; a text about Greek or Chinese input still is mostly English
    most_foreign: float = 0.3
    # repetitive: compressed size over size; below, one thing is said over and over. Prose has 0.4 to 0.7, and the most
    # monotonous of 3,000 published solutions 0.12
    least_information: float = 0.1
    # similar_text: share of word 3-grams two texts have in common (Jaccard); 0 switches it off. Of MBPP's pairs above 0.7
    # nearly all are one task told twice; below it "sum of fourth powers" meets "sum of fifth powers"
    near_text: float = 0.7
    # MinHash permutations; 128 estimate a similarity within about 0.09, and exact counting decides
    permutations: int = 128
    # same_solution: the shortest tree that counts (labels); 0 switches it off
    same_tree_labels: int = 24

    def mistakes(self) -> list[str]:
        """All values outside their range and rules that do not exist."""
        found = [f"clean.rules.{name}: no such rule ({', '.join(_rules())})" for name in self.rules if name not in _rules()]
        found += [f"clean.rules.{name}: say true or false" for name in _rules() if name not in self.rules]
        for name in ("most_foreign", "least_information", "near_text"):
            if not 0 <= getattr(self, name) <= 1:
                found.append(f"clean.{name}: {getattr(self, name)} is outside [0, 1]")
        if not 0 <= self.least_words <= self.most_words:
            found.append(f"clean.least_words: {self.least_words} is outside [0, most_words = {self.most_words}]")
        if self.permutations < 16:
            found.append(f"clean.permutations: {self.permutations} is below 16")
        if self.same_tree_labels < 0:
            found.append(f"clean.same_tree_labels: {self.same_tree_labels} is below 0 (0 switches same_solution off)")
        return found


@dataclass(kw_only=True)
class Decontaminate:
    """When a problem counts as a copy of a benchmark's; each of the three kinds of evidence suffices alone.

    The paper (section 3.3) looked for "potential overlap" with HumanEval and names no method, so every value here is ours,
    chosen on experiments/decontamination: planted copies found against alarms between sets that share nothing.
    """

    # words in one gram; half of MBPP's texts have under 15 words, so the usual 10 to 13 see nothing of them. With 3, a text
    # with every tenth word exchanged still shares enough of them (HumanEval 99 %, MBPP 79 %); with 8 not (51 %, 32 %)
    ngram: int = 3
    # share of the shorter text's grams, weighted by how rare each is in the benchmark, that must be shared; 0 switches this
    # off. At 0.5 no text of MBPP or LeetCode alarms on HumanEval, 0.2 % of LeetCode's on MBPP
    text: float = 0.5
    # share of the shorter text's words, weighted likewise, that must be shared too; 0 asks for none. Of 104 problems of MBPP's
    # training part that are found in its test part without it 24 are repeats; with it all 24 are found, and 44 of the 80 others
    words: float = 0.8
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
    # and characters they hold together (a truth value counts one): 10 -> True and 12 -> True are common to many tasks. Where
    # the solutions are the same too, none need be: that finds 139 more renamed copies of MBPP's tests, and nothing else new
    # but MBPP/716 in MBPP/17 (the perimeter of a rhombus and of a square, the same three tests)
    tests_characters: int = 20

    def mistakes(self) -> list[str]:
        """All values outside their range."""
        found = [
            f"decontaminate.{name}: {value} is outside [0, 1]"
            for name, value in (
                ("text", self.text),
                ("words", self.words),
                ("tree", self.tree),
                ("tests_share", self.tests_share),
            )
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


def _failures() -> dict[str, bool]:
    """Every rule of rrtf.problems.evolve_filters."""
    names = ["empty", "cut", "leaked", "copy", "too_long", "solved", "unanswerable", "off_topic", "no_gain"]
    return dict.fromkeys(names, True)


def _methods() -> dict[str, float]:
    """The five in-depth methods of rrtf.problems.evolve_prompts."""
    return dict.fromkeys(["constraints", "specific", "steps", "misdirection"], 1.0) | {"complexity": 0.5}


@dataclass(kw_only=True)
class Evolve:
    """Evol-Instruct: a writer makes each task a bit harder, round after round, and failures are thrown away.

    Figure 2 of the paper gives the frame of the writer's prompt; methods, rounds and filters are not in the paper.
    """

    # not in the paper; with the seeds, 4 rounds make its 100K out of 20K
    rounds: int = 4
    # how often each method is drawn, relative to the others. The paper's list is not given; these are WizardCoder's five, the
    # last one "not too often" there, hence half
    methods: dict[str, float] = field(default_factory=_methods)
    # keep the tasks it began with, as the paper's corpus does in all likelihood (20K + 4 * 20K)
    keep_seeds: bool = True
    # which failures are thrown away, by name; rrtf.problems.evolve_filters says what each is
    rules: dict[str, bool] = field(default_factory=_failures)
    # copy: share of word pairs that task and rewriting have in common (Jaccard)
    copy: float = 0.9
    # too_long: Figure 2 wants a similar length; words a rewriting may add. Of 1,966 real ones 5 % add more
    most_added_words: int = 120
    # no_gain: words the rewriting must have that the task has not, after endings are cut off. One is enough: "prime numbers"
    # and "in reverse order" are other tasks
    least_new_words: int = 1
    # tokens the writer may write in all; 0 means no limit
    budget_tokens: int = 0
    # what the writer may cost in all, in the currency of the prices; 0 means no limit
    budget_money: float = 0.0
    # prices per million tokens; prompts are counted at 4 characters a token
    input_price: float = 0.0
    output_price: float = 0.0
    # rewritings asked for between two looks at the budget
    batch: int = 256
    # which method falls to which task
    seed: int = 0

    def mistakes(self) -> list[str]:
        """All values outside their range, unknown methods and rules."""
        found = []
        for group, known in (("methods", _methods()), ("rules", _failures())):
            given = getattr(self, group)
            found += [f"evolve.{group}.{name}: unknown ({', '.join(known)})" for name in given if name not in known]
        found += [f"evolve.rules.{name}: say true or false" for name in _failures() if name not in self.rules]
        found += [f"evolve.methods.{name}: {weight:g} is below 0" for name, weight in self.methods.items() if weight < 0]
        if sum(self.methods.values()) <= 0:
            found.append("evolve.methods: no method has a weight above 0")
        if not 0 < self.copy <= 1:
            found.append(f"evolve.copy: {self.copy:g} is outside (0, 1]")
        least = {"rounds": 1, "batch": 1, "most_added_words": 0, "least_new_words": 0, "budget_tokens": 0, "budget_money": 0}
        least |= {"input_price": 0, "output_price": 0}
        found += [
            f"evolve.{name}: {getattr(self, name):g} is below {low}" for name, low in least.items() if getattr(self, name) < low
        ]
        if self.budget_money and not (self.input_price or self.output_price):
            found.append("evolve.budget_money: has no effect while input_price and output_price are 0")
        return found


@dataclass(kw_only=True)
class TestVotes:
    """Tests for problems that have none: a writer proposes calls, independent programs vote on what they must return.

    Nothing of it is in the paper, which does not say where the tests of its evolved problems came from. The idea is CodeT's
    dual execution agreement (Chen et al. 2022), on values instead of on whole tests.
    """

    __test__ = False  # not a pytest class

    # calls the writer is asked for; the usual number in HumanEval's checks
    calls: int = 8
    # further calls made from each written one by changing one argument; measured in experiments/test_votes
    mutants: int = 0
    # programs that differ in more than names and must agree on a value; two is the least that is no monologue
    least_programs: int = 2
    # share of the votes a value needs, weighted by how often each voter is with the majority
    agreement: float = 0.6
    # a writer's expected value counts as so many programs; small writers are wrong more often than not
    writer_vote: float = 0.5
    # rounds in which votes and voters' weights find each other; they stand still after three
    rounds: int = 3
    # fewer calls agreed on than this say too little about a problem, which is then dropped
    least_tests: int = 2
    # tests kept per problem, the most agreed first
    most_tests: int = 12
    # seed of the mutants
    seed: int = 0

    def mistakes(self) -> list[str]:
        """All values outside their range."""
        least = {"calls": 1, "mutants": 0, "least_programs": 1, "writer_vote": 0, "rounds": 1, "least_tests": 1}
        found = [
            f"test_votes.{name}: {getattr(self, name):g} is below {low}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if not 0 < self.agreement <= 1:
            found.append(f"test_votes.agreement: {self.agreement:g} is outside (0, 1]")
        if self.most_tests < self.least_tests:
            found.append(f"test_votes.most_tests: {self.most_tests} is below least_tests = {self.least_tests}")
        return found
