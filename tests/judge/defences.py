"""The defences of the judge, each with the edits that switch it off and the programs that notice.

The programs are the corpus's and those of `harmless.txt`. With a defence off they do their deed on the machine that runs the
test, so every one named here is bounded: none forks, allocates, writes or signals without end.
"""

from typing import NamedTuple


class Defence(NamedTuple):
    """One row. `edits`: file, old text (found once), new text. `first` run before `notice`, whose verdicts must change."""

    words: str
    edits: tuple[tuple[str, str, str], ...]
    notice: tuple[str, ...]
    first: tuple[str, ...] = ()
    tier: str = "namespaces"
    breaks: bool = False  # without it the program breaks the judge (judge_error) rather than fools it
    root: bool = False  # shown only where the judge runs as root
    landlock: int = 0  # the least Landlock version
    machine: str = ""


BESIDE = """    elif problem.tests.kind is TestKind.check:
        from dataclasses import replace

        code = f"def {problem.entry_point}():\\n    pass\\n{problem.tests.code}\\ncheck({problem.entry_point})\\n"
        suite = ProgramSuite(replace(problem, tests=replace(problem.tests, kind=TestKind.program, code=code)))
    elif problem.tests.kind is TestKind.program:
"""
HERE_TOO = """peeked = socket.socket(fileno=os.dup(descriptors[3])).recv(1 << 20, socket.MSG_PEEK)
            exec(json.loads(peeked[12:])["program"], {})
            pid = os.fork()"""
OLD_ROOT = """    linux.pivot_root(base)
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | QUIET)
"""
SAME_USER = ("jail.py", 'uid = INSIDE_UID if channel.recv(1) == b"2" else None', "uid = channel.recv(1) and None")
STILL_ROOT = ("lower.py", "uid = OUTSIDE_UID if os.getuid() == 0 else None", "uid = None")
ANY_SOCKET = ("confine.py", 'seccomp.FAMILIES if walls.tier == "namespaces" else ()', "seccomp.FAMILIES")

# the tests where the candidate can't reach them, and what may cross
SPLIT = (
    Defence(
        "tests run in another process than the program",
        (("tester.py", "    elif problem.tests.kind is TestKind.program:\n", BESIDE),),
        ("42-equal", "43-int", "52-gc"),
    ),
    Defence(
        "an object of the program never decides a comparison with a value of the tests",
        (
            (
                "things.py",
                "return isinstance(other, Thing) and (other._rrtf_handle",
                "return (getattr(other, '_rrtf_handle', None)",
            ),
        ),
        ("42-equal", "42-class", "44-array"),
    ),
    Defence(
        "operators between the program's objects and the tests' values stay here",
        (("things.py", "if isinstance(other, Thing) or asked:", "if True:"),),
        ("63-below", "63-in", "42-class-far"),
    ),
    Defence(
        "a class under test answers only for the operators that the problem gives it",
        (("meaning.py", 'found = set(re.findall(r"__(\\w+?)__", text))', 'found = {"sub", "lt", "gt", "le", "ge"}'),),
        ("42-class-far", "42-class-range"),
    ),
    Defence(
        "where nothing says what it is, only what looks like a class is one, whose objects have operators",
        (("meaning.py", 're.fullmatch(r"[A-Z][A-Za-z0-9]*", name) and _makes_objects(name, text)', "True"),),
        ("63-x-far",),
    ),
    Defence(
        "no attribute in place of a method of the tests",
        (("exchange.py", " or callable(getattr(type(value), key, None)):", ":"),),
        ("63-shadow-method",),
    ),
    Defence(
        "nothing is close to no number (input form)",
        (
            (
                "inputs.py",
                "and _near(output, expected, atol)",
                'and bool(__import__("numpy").allclose(output, expected, rtol=RTOL, atol=atol))',
            ),
        ),
        ("45-empty-row", "45-empty-broadcast"),
    ),
    Defence(
        "nothing is close to no number (numpy in the tests)",
        (("suites.py", '            closeness.guard(testing="testing" in text)\n', "            pass\n"),),
        ("45-all-close", "45-all-close-array"),
    ),
    Defence(
        "exact types cross: a tuple is no list",
        (
            (
                "wire.py",
                'return {"t": [pack(item, other=other, depth=depth - 1) for item in value]}',
                "return pack(list(value), other=other)",
            ),
        ),
        ("t-nothing", "t-special"),
    ),
    Defence(
        "only listed types are rebuilt from text",
        (("exchange.py", "if (module, name) not in TEXTUAL:", "if False:"),),
        ("51-builds",),
    ),
    Defence(
        "no attribute that Python itself calls",
        (("exchange.py", 'if key.startswith("__") or ', "if "),),
        ("51-attribute",),
    ),
    Defence(
        "frames carry the run's nonce",
        (("run.py", "if nonce != self._nonce or length > self.limit:", "if length > self.limit:"),),
        ("51-guess-answer",),
    ),
    Defence(
        "frames are no longer than the limit",
        (("run.py", "if nonce != self._nonce or length > self.limit:", "if nonce != self._nonce:"),),
        ("large-frame",),
    ),
    Defence(
        "all values of a run together have a limit",
        (("run.py", "if self._taken > TOTAL * self.limit:", "if False:"),),
        ("many-frames",),
    ),
    Defence(
        "no answer before its question",
        (("run.py", "        if self._inbox:\n", "        if False:\n"),),
        ("ahead",),
    ),
    Defence(
        "a malformed description of the program is its own fault",
        (
            (
                "loading.py",
                "except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:",
                "except ZeroDivisionError as error:",
            ),
        ),
        ("51-load",),
        breaks=True,
    ),
    Defence(
        "a malformed value in the description is its own fault",
        (
            (
                "proxies.py",
                "        except Exception as error:  # as in `_received`\n",
                "        except ZeroDivisionError as error:\n",
            ),
        ),
        ("51-names", "51-names-handle"),
        breaks=True,
    ),
    Defence(
        "exceptions that steer Python are none of the program's",
        (("errors.py", "if not names or names[0] in refused:", "if not names:"),),
        ("63-stop-iteration",),
    ),
    Defence(
        "modules that the tests use are the tests' own",
        (("suites.py", "if wanted in sys.stdlib_module_names or", "if False and"),),
        ("63-names-answers",),
    ),
    Defence(
        "what the reference imports is the tests' own",
        (("suites.py", "if name in self._imports:", "if False:"),),
        ("63-free-name", "63-free-class", "63-free-function"),
    ),
    Defence(
        "names that the tests define are the tests' own",
        (("suites.py", "if name and (name not in namespace or name == self._root))", "if name)"),),
        ("54-helper",),
    ),
    Defence(
        "the program gets copies of the inputs",
        (("inputs.py", "candidate(*copy.deepcopy(args))", "candidate(*args)"),),
        ("63-inputs-thing",),
    ),
    Defence(
        "the program is compiled in the jail",
        (("loading.py", "    evidence, started = ", "    compile(program, 'solution.py', 'exec')\n    evidence, started = "),),
        ("60-nul", "17-brackets"),
        breaks=True,
    ),
    Defence(
        "whatever the compiler raises is a compile error",
        (("candidate.py", "except Exception as error:  # SyntaxError, but", "except SyntaxError as error:  # but"),),
        ("60-surrogate-name",),
    ),
    Defence(
        "what a program says is made printable",
        (("verdicts.py", 'return "".join(c if c.isprintable()', 'return "".join(c if c'),),
        ("63-terminal",),
    ),
)

# success needs positive proof
LENT = (
    Defence(
        "what lies behind a function of the tests stays here (either alone holds)",
        (
            ("lending.py", 'if place not in self._open or name.startswith("__"):', "if False:"),
            (
                "lending.py",
                "if not isinstance(value, type) and kind.__module__ != TESTS and not _mocks(value) and name",
                "if False and name",
            ),
        ),
        ("63-t-lent-default",),
    ),
    Defence(
        "no function of the program in place of a method of what the tests lend",
        (("lending.py", "if callable(getattr(type(value), name, None)):", "if False:"),),
        ("63-t-lent-method",),
    ),
    Defence(
        "what a mock remembers is not set",
        (("lending.py", " or _remembers(value, name) or (_mocks", " or (_mocks"),),
        ("63-t-mock-count",),
    ),
    Defence(
        "a mock's own methods are for the tests",
        (("lending.py", "if _remembers(value, name):", "if False:"),),
        ("63-t-mock-count2",),
    ),
    Defence(
        "no object of the program in place of what a mock remembers",
        (("lending.py", " or (_mocks(value) and type(new) not in _SCALARS)", ""),),
        ("63-t-mock-attribute",),
    ),
    Defence(
        "a test is never skipped by an exception that went through the program",
        (("errors.py", ' and names[0] != "SkipTest"', ""),),
        ("63-t-skips-away",),
    ),
    Defence(
        "a context manager of the program hides no failure",
        (("things.py", "return bool(says) and raised_here(error)", "return bool(says)"),),
        ("63-t-exit-hides",),
    ),
    Defence(
        "exceptions that steer tests never arrive as themselves",
        (("errors.py", '"argparse", "asyncio",', '"unittest", "argparse", "asyncio",'),),
        ("63-h-skip-rest",),
    ),
    Defence(
        "no field of a dataclass in place of what a proxy is made of",
        (("things.py", 'if any(field.startswith(("__", "_rrtf")) for field in fields):', "if False:"),),
        ("63-h-dcfields2",),
        breaks=True,
    ),
    Defence(
        "what can't be sent of an object is the asker's error",
        (("lending.py", 'if message["use"] == "call":', "if True:"),),
        ("63-t-keeps-lock",),
        breaks=True,
    ),
    Defence(
        "no class of the tests made by the program",
        (("proxies.py", " and content not in wire.MAKERS:", ":"),),
        ("63-u-ex-lent-forged",),
    ),
    Defence(
        "rows that are one list stay one",
        (("wire.py", "    if len(places) == len(values):", "    if True:"),),
        ("63-u-rows-wrong", "63-u-fromkeys-wrong"),
    ),
    Defence(
        "parts of an argument that are returned stay parts of it",
        (("candidate.py", " and overlap(result, (*arguments, *keywords.values())):", " and False:"),),
        ("63-v-shallow", "63-v-shallow-2"),
    ),
    Defence(
        "a list that the program keeps is the list that the tests change",
        (("suites.py", "self._keeps = bool(ALTERS.search(text))", "self._keeps = False"),),
        ("63-v-isolation",),
    ),
    Defence(
        "no file of the program comes to tests that could run it",
        (("files.py", " and not RUNS.search(text)", ""),),
        ("63-x-plugin",),
    ),
    Defence(
        "files of the program stay in the tests' scratch folder",
        (("files.py", 'if os.path.realpath(target) != target or not target.startswith(f"{ROOT}/"):', "if False:"),),
        ("63-x-verdict-file",),
    ),
    Defence(
        "an object of the program hides nothing that its answers raise in the tests",
        (("trusted.py", "if _fixed(part) else part", ""),),
        ("63-x-hides",),
    ),
    Defence(
        "only permitted methods of objects of the standard library",
        (("lending.py", " and name not in common.names(kind):", " and not common.names(kind):"),),
        ("63-u-fut-lent-loop",),
        breaks=True,
    ),
    Defence(
        "no annotation becomes code of the tests",
        (
            (
                "annotations.py",
                "if origin is not typing.Literal and any(type(argument) is str for argument in arguments):",
                "if False:",
            ),
        ),
        ("63-u-wrapped-hints-forged",),
    ),
    Defence(
        "no new mock made by the program",
        (("lending.py", "if (isinstance(value, type) and _mocks(value)) or _standard(value):", "if _standard(value):"),),
        ("63-t-mock-new",),
    ),
    Defence(
        "how a mock was awaited is for the tests",
        (("lending.py", ".AsyncMock, name)", ".NonCallableMock, name)"),),
        ("63-t-mock-awaited",),
    ),
    Defence(
        "what a test case has of unittest is for the tests",
        (("lending.py", "if issubclass(kind, unittest.TestCase):", "if False:"),),
        ("63-t-test-case",),
    ),
    Defence(
        "what only the program made of the tests is its own failure",
        (("tester.py", 'if isinstance(suite, CallSuite) and self._avoids(suite, order["program"], bounds):', "if False:"),),
        ("63-t-gives-lock",),
        breaks=True,
    ),
    Defence(
        "the tests may end while a thread of theirs waits for the program",
        (("run.py", "threading.RLock()", "contextlib.nullcontext()"),),
        ("63-t-thread-sleeps",),
        breaks=True,
    ),
    Defence(
        "no text of the program becomes code of the tests",
        (("evaluating.py", "if not _tests or event", "if True or event"),),
        ("63-t-unpickles", "63-t-evaluates"),
    ),
    Defence(
        "functions of the standard library run in the program's process (either alone holds: no unpickling)",
        (
            ("evaluating.py", "if not _tests or event", "if True or event"),
            ("lending.py", "_mocks(value)) or _standard(value):", "_mocks(value)):"),
        ),
        ("63-t-pickle-forged",),
    ),
)
PROOF = (
    Defence(
        "every test must have passed, not none have failed",
        (("verdicts.py", "if finished and loaded and tally.passed == total > 0:", "if not tally.wrong:"),),
        ("37-exit", "37-system-exit", "38-os", "38-kill", "39-del", "40-exec"),
    ),
    Defence(
        "a problem without tests is an error",
        (("tester.py", "if suite.count() == 0:", "if False:"),),
        ("no-tests",),
    ),
    Defence(
        "tests that are coroutines run",
        (("pytest_style.py", "if inspect.iscoroutine(result):", "if False:"),),
        ("61-async-none", "61-async-plain"),
    ),
    Defence(
        "tests that are generators run",
        (("pytest_style.py", "elif inspect.isgenerator(result):", "elif False:"),),
        ("61-yields-none",),
    ),
    Defence(
        "a script must end with status 0",
        (
            (
                "stdio.py",
                "ended_well = loaded and not evidence.stop and evidence.status == 0",
                "ended_well = loaded and not evidence.stop",
            ),
        ),
        ("41-raise", "41-raise-2", "41-killed"),
    ),
    Defence(
        "all lines must be there",
        (("stdio.py", "return got == wanted or (", "return got == wanted[: len(got)] or ("),),
        ("49-prefix", "49-nothing"),
    ),
    Defence(
        "a checker that fails has accepted nothing",
        (("stdio.py", 'return AssertionError(f"the checker raised {type(error).__name__}: {error}")', "return None"),),
        ("63-checker-text",),
    ),
    Defence(
        "a validation program must reach its end",
        (("programs.py", "if _finished(run) and run.evidence.status == 0:", "if run.evidence.status == 0:"),),
        ("63-program-exit", "63-program-main"),
    ),
    Defence(
        "a validation program runs whatever it is named",
        (("programs.py", "_always(lines, main.test)", "pass"),),
        ("63-program-name",),
    ),
    Defence(
        "the function of a validation program is whole by itself",
        (("candidate.py", 'not request["alone"] or self._compile(request["alone"])', "True"),),
        ("63-program-dangling",),
    ),
)

# what a program may use
LIMITS = (
    Defence(
        "CPU seconds (either alone holds: the stop at the limit, the count at the end)",
        (
            ("run.py", "if used > self._bounds.total * grace:", "if False:"),
            ("verdicts.py", "        if used > limit:\n", "        if False:\n"),
        ),
        ("burn", "burn-children"),
    ),
    Defence(
        "CPU seconds of one among many inputs (either alone holds)",
        (
            ("run.py", "elif self._bounds.total > limit and used", "elif False and used"),
            ("verdicts.py", "return [*whole, (evidence.slowest, bounds.seconds)] if", "return whole if"),
        ),
        ("burn-input",),
    ),
    Defence(
        "CPU seconds of children that nobody waits for (either alone holds: while it runs, at its end)",
        (
            ("census.py", 'return {"cpu": max(cpu, self._seen),', 'return {"cpu": cpu,'),
            ("census.py", 'return {"cpu": max(self._cpu, self._seen),', 'return {"cpu": self._cpu,'),
        ),
        ("35-unreaped",),
    ),
    Defence(
        "CPU seconds, the kernel's own backstop",
        (("confine.py", "    steps.append((_limit, (resource.RLIMIT_CPU, int(limits.cpu) + 2)))\n", ""),),
        ("kernel-limit",),
    ),
    Defence(
        "idle seconds",
        (("run.py", "elif self._quiet > limit + 1:", "elif False:"),),
        ("sleep",),
    ),
    Defence(
        "CPU seconds of the tests on what the program returned",
        (("counting.py", "signal.setitimer(signal.ITIMER_PROF, seconds, 1)", "pass"),),
        ("tests-loop",),
    ),
    Defence("memory, by the kernel", (("confine.py", "    steps.append((_limit, (MEMORY, limits.memory)))\n", ""),), ("heap",)),
    Defence(
        "memory, by looking: what the kernel does not charge",
        (("zygote.py", 'if look["memory"] > limits.memory:', "if False:"),),
        ("shared", "children-memory"),
    ),
    Defence(
        "memory of children counts",
        (("census.py", "for pid in {self._pid, *descendants()}:", "for pid in {self._pid}:"),),
        ("children-memory",),
    ),
    Defence(
        "processes", (("confine.py", "(resource.RLIMIT_NPROC, limits.processes)", "(resource.RLIMIT_CORE, 0)"),), ("processes",)
    ),
    Defence("open files", (("confine.py", "(resource.RLIMIT_NOFILE, OPEN_FILES), ", ""),), ("files",)),
    Defence(
        "file size", (("confine.py", "(resource.RLIMIT_FSIZE, limits.file)", "(resource.RLIMIT_CORE, 0)"),), ("long-file",)
    ),
    Defence("bytes of the scratch", (("jail.py", '"size=64m,nr_inodes', '"nr_inodes'),), ("many-bytes",)),
    Defence("files of the scratch", (("jail.py", "nr_inodes=4096,", ""),), ("many-files",)),
    Defence(
        "output (either alone holds: while it runs, at its end)",
        (
            ("run.py", "        if len(kept) > self.limit:\n", "        if False:\n"),
            ("run.py", "while len(kept) <= self.limit and (data", "while (data"),
            ("run.py", "if len(kept) > self.limit and not self.evidence.stop:", "if False:"),
        ),
        ("prints",),
    ),
)

# one candidate and the next
NEXT = (
    Defence(
        "everything that a candidate started is dead with its verdict",
        (("zygote.py", '        self._end_everyone(census)\n        report["status"]', '        report["status"]'),),
        ("late-2",),
        first=("late-1",),
    ),
    Defence(
        "the same among plain processes",
        (("zygote.py", "for pid in descendants():\n                        os.kill(pid, signal.SIGKILL)", "break"),),
        ("late-2",),
        first=("late-1",),
        tier="processes",
    ),
    Defence("the scratch is wiped", (("zygote.py", "        self._walls.wipe()\n", ""),), ("note-2",), first=("note-1",)),
    Defence(
        "the working folder is the new scratch",
        (
            (
                "jail.py",
                "            os.chdir(SCRATCH[0])",
                "            pass",
            ),
        ),
        ("33-left-3", "33-folder"),
        first=("33-left-1", "33-left-2"),
    ),
    Defence(
        "the scratch of plain processes is wiped",
        (("lower.py", "lambda: empty(scratch), ", "lambda: None, "),),
        ("note-2",),
        first=("note-1",),
        tier="processes",
    ),
    Defence(
        "wiping follows no links (either alone holds: look at the link itself, open no link)",
        (
            ("lower.py", "follow_symlinks=False).st_mode", "follow_symlinks=True).st_mode"),
            ("lower.py", " | os.O_NOFOLLOW", ""),
        ),
        ("links",),
        tier="processes",
        breaks=True,
    ),
    Defence(
        "a program runs in a fork of the worker, never in the worker",
        (("zygote.py", "pid = os.fork()", HERE_TOO),),
        ("poison-2",),
        first=("poison-1",),
    ),
    Defence(
        "inherited descriptors are closed",
        (("confine.py", "    os.closerange(CHANNEL + 1, OPEN_FILES)\n", ""),),
        ("descriptors",),
    ),
    Defence(
        "no message queues and segments between candidates",
        (("seccomp.py", '    "shmget": (29, 194),\n', ""),),
        ("29-rendezvous-2",),
        first=("29-rendezvous-1",),
    ),
    Defence(
        "nothing is left beside the scratch (either alone holds: a read-only root, another user)",
        (
            ("jail.py", '    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | QUIET)\n', ""),
            ("confine.py", "if walls.uid is not None:", "if False:"),
        ),
        ("root-note-2",),
        first=("root-note-1",),
    ),
)

# this machine
MACHINE = (
    Defence(
        "a root of its own, without the files of this machine",
        (("jail.py", OLD_ROOT, '    linux.mount("proc", "/proc", "proc", QUIET | linux.MS_NOEXEC)\n'),),
        ("secret", "write-out"),
    ),
    Defence("what is shown is read-only", (("jail.py", "    linux.make_read_only(target)\n", ""),), ("writable-view",)),
    Defence(
        "packages with answers are hidden", (("jail.py", "if folder and os.path.isdir(target):", "if False:"),), ("answers",)
    ),
    Defence(
        "no network of this machine",
        (("jail.py", "linux.CLONE_NEWPID | linux.CLONE_NEWNET |", "linux.CLONE_NEWPID |"),),
        ("tcp", "abstract"),
    ),
    Defence(
        "no segments of this machine (either alone holds: another IPC namespace, no System V calls)",
        (
            ("jail.py", "linux.CLONE_NEWNET | linux.CLONE_NEWIPC", "linux.CLONE_NEWNET"),
            ("seccomp.py", '    "shmget": (29, 194),\n', ""),
        ),
        ("segment",),
    ),
    Defence("this machine's name is hidden", (("jail.py", "    socket.sethostname(HOSTNAME)\n", ""),), ("host",)),
    Defence(
        "the environment is not this user's",
        (("pool.py", "env=ENVIRONMENT,", "env={**os.environ, **ENVIRONMENT},"),),
        ("28-environment",),
    ),
    Defence(
        "the arguments are a script's", (("worker.py", 'sys.argv = sys.orig_argv = ["solution.py"]', "pass"),), ("b-fileinput",)
    ),
    Defence(
        "another user than the worker",
        (("confine.py", "if walls.uid is not None:", "if False:"),),
        ("root", "rename"),
        root=True,
    ),
    Defence(
        "the worker's memory is closed to its own user (either alone holds: another user, not dumpable)",
        (SAME_USER, ("jail.py", "linux.prctl(linux.PR_SET_DUMPABLE, 0)", "pass")),
        ("31-mem",),
        root=True,
    ),
    Defence(
        "no capabilities (either alone holds: another user, capabilities dropped)",
        (SAME_USER, ("jail.py", "linux.drop_capabilities()", "pass")),
        ("rename",),
        root=True,
    ),
    Defence(
        "no new privileges by exec",
        (("seccomp.py", "    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)\n", ""),),
        ("privileges",),
        root=True,
    ),
)

KERNEL = (
    Defence(
        "system calls are filtered",
        (("confine.py", 'seccomp.install(families=seccomp.FAMILIES if walls.tier == "namespaces" else ())', "pass"),),
        ("unshare", "memfd", "clone", "clone3"),
    ),
    Defence("no unshare", (("seccomp.py", '    "unshare": (272, 97),\n', ""),), ("unshare",)),
    Defence("no memfd", (("seccomp.py", '    "memfd_create": (319, 279),\n', ""),), ("memfd",)),
    Defence("no namespaces by clone", (("seccomp.py", "_NAMESPACES = 0x7E020000", "_NAMESPACES = 0"),), ("clone",)),
    Defence("no namespaces by clone3", (("seccomp.py", "_CLONE3 = 435", "_CLONE3 = 0xFFFF"),), ("clone3",)),
    Defence("no x32 calls", (("seccomp.py", "_X32 = 0x40000000", "_X32 = 0xFFFFFFFF"),), ("x32",), machine="x86_64"),
    Defence(
        "no 32-bit calls",
        (("seccomp.py", "(_EQUAL, 1, 0, architecture),", "(_EQUAL, 1, 1, architecture),"),),
        ("i386",),
        machine="x86_64",
    ),
    Defence(
        "only sockets that a network namespace holds",
        (("seccomp.py", "FAMILIES = (1, 2, 10, 16)", "FAMILIES = tuple(range(46))"),),
        ("29-families",),
    ),
    Defence(
        "no signals to the owner of a descriptor",
        (("seccomp.py", "_OWNERS = (((72, 25), (8, 10, 15)), ((16, 29), (0x8901, 0x8902)))", "_OWNERS = ()"),),
        ("30-owner",),
    ),
    Defence(
        "limits and CPUs of no other process (either alone holds: another user, the filter)",
        (SAME_USER, ("seccomp.py", "_ONLY_ITSELF = ((302, 261), (203, 122), (142, 118))", "_ONLY_ITSELF = ()")),
        ("32-other-limits", "32-affinity"),
        root=True,
        breaks=True,
    ),
    Defence(
        "plain processes signal only themselves (either alone holds: another user, the filter)",
        (STILL_ROOT, ("lower.py", "        seccomp.install(os.getpid())\n", "        pass\n")),
        ("signal",),
        tier="processes",
    ),
    Defence(
        "a session of its own (either alone holds: another user, another group)",
        (STILL_ROOT, ("confine.py", "    steps.append((os.setsid, ()))\n", "")),
        ("30-group",),
        tier="processes",
        breaks=True,
    ),
    Defence(
        "Landlock",
        (("lower.py", "        landlock.restrict(rules)\n", "        pass\n"),),
        ("secret", "write-out"),
        tier="landlock",
        landlock=1,
    ),
    Defence(
        "no network beside Landlock (either alone holds: Landlock itself, no sockets)",
        (("landlock.py", "_TCP if version >= 4 else 0", "0"), ANY_SOCKET),
        ("tcp",),
        tier="landlock",
        landlock=4,
    ),
    Defence("no network among plain processes", (ANY_SOCKET,), ("tcp", "abstract"), tier="processes"),
    Defence(
        "no abstract sockets beside Landlock (either alone holds: Landlock itself, no sockets)",
        (("landlock.py", "_SCOPES if version >= SIGNALS_SINCE else 0", "0"), ANY_SOCKET),
        ("abstract",),
        tier="landlock",
        landlock=6,
    ),
)

DEFENCES = (*SPLIT, *LENT, *PROOF, *LIMITS, *NEXT, *MACHINE, *KERNEL)
