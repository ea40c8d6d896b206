"""Objects of the standard library that tests make and the program uses: queues, locks, futures, streams, random numbers.

They stay where the tests run. Only what is named here may be asked of them, and nothing may be set.
"""

import sys

_LOCK = "acquire release locked"
_CONDITION = f"{_LOCK} wait wait_for notify notify_all"
_EVENT = "set clear is_set wait"
_QUEUE = "put get put_nowait get_nowait qsize empty full maxsize task_done join"
_FUTURE = "set_result set_exception result exception done cancel cancelled running add_done_callback remove_done_callback"
_FUTURE += " get_name set_name"
_READ = "read read1 readline readlines readable"
_STREAM = f"{_READ} write writelines writable seek tell seekable truncate flush close closed name mode encoding newlines"
_RANDOM = "random randint randrange choice choices sample shuffle uniform triangular gauss normalvariate expovariate"
_RANDOM += " betavariate gammavariate lognormvariate paretovariate getrandbits randbytes seed"
_NUMPY = "random integers normal uniform choice shuffle permutation standard_normal poisson binomial exponential rand randn"
_NUMPY += " randint random_sample permuted"
# by module and class; a class made from one of these has its names, too
NAMES = {
    ("asyncio.locks", "Lock"): _LOCK,
    ("asyncio.locks", "Semaphore"): _LOCK,
    ("asyncio.locks", "Event"): _EVENT,
    ("asyncio.locks", "Condition"): _CONDITION,
    ("asyncio.locks", "Barrier"): "wait reset abort parties n_waiting broken",
    ("asyncio.queues", "Queue"): _QUEUE,
    ("_asyncio", "Future"): _FUTURE,
    ("_thread", "lock"): _LOCK,
    ("_thread", "RLock"): _LOCK,
    ("threading", "Semaphore"): _LOCK,
    ("threading", "Condition"): _CONDITION,
    ("threading", "Event"): _EVENT,
    ("threading", "Barrier"): "wait reset abort parties n_waiting broken",
    ("queue", "Queue"): _QUEUE,
    ("_queue", "SimpleQueue"): _QUEUE,
    ("concurrent.futures._base", "Future"): _FUTURE,
    ("concurrent.futures.thread", "ThreadPoolExecutor"): "submit map shutdown",
    ("_io", "TextIOWrapper"): _STREAM,
    ("_io", "BufferedReader"): _STREAM,
    ("_io", "BufferedWriter"): _STREAM,
    ("_io", "BufferedRandom"): _STREAM,
    ("_csv", "writer"): "writerow writerows",
    ("csv", "DictWriter"): "writeheader writerow writerows fieldnames",
    ("csv", "DictReader"): "fieldnames line_num",
    ("random", "Random"): _RANDOM,
    ("numpy.random.mtrand", "RandomState"): _NUMPY,
    ("numpy.random._generator", "Generator"): _NUMPY,
}


def names(kind: type) -> frozenset[str]:
    """What may be asked of an object of this class: nothing, unless it is made in one of these."""
    for base in kind.__mro__ if kind.__module__.partition(".")[0] in _KNOWN else ():
        place = (base.__module__, base.__name__)
        if place in NAMES and getattr(sys.modules.get(place[0]), place[1], base) is base:
            return frozenset(NAMES[place].split())
    return frozenset()


_KNOWN = frozenset(module.partition(".")[0] for module, _ in NAMES)
