"""numpy's comparisons, without their answer for nothing: that it is close to everything.

`allclose([], 1.5)` is True, for no element differs. Tests that compare a returned value so would be passed by an empty list,
so where one side is empty and the other is not, the tests' process says what they mean.
"""

from typing import Any

from rrtf.judge.things import Iterated, Thing

_RAISING = ("assert_allclose", "assert_array_equal", "assert_almost_equal", "assert_array_almost_equal", "assert_equal")


def guard(*, testing: bool) -> None:
    """Wrap numpy's comparisons in this process, with `testing` also those that raise; nothing where numpy is not installed."""
    try:
        import numpy
    except ImportError:
        return
    _wrap(numpy, ("allclose", "isclose"), numpy, numpy.False_)
    if testing:
        _wrap(numpy.testing, _RAISING, numpy, None)


def _wrap(module: Any, names: tuple[str, ...], numpy: Any, different: Any) -> None:
    for name in names:
        if not hasattr(getattr(module, name), "_rrtf_guarded"):
            setattr(module, name, _guarded(getattr(module, name), numpy, different))


def _guarded(compare: Any, numpy: Any, different: Any) -> Any:
    def guarded(first: Any, second: Any, *arguments: Any, **keywords: Any) -> Any:
        first, second = (numpy.asarray(v) if isinstance(v, (Thing, Iterated)) else v for v in (first, second))  # asked once
        if (_size(numpy, first) == 0) == (_size(numpy, second) == 0):
            return compare(first, second, *arguments, **keywords)
        if different is None:
            raise AssertionError(f"one of {first!r:.100} and {second!r:.100} is empty")
        return different

    guarded._rrtf_guarded = True  # type: ignore[attr-defined]
    return guarded


def _size(numpy: Any, value: Any) -> int:
    """How many numbers there are; what is no array of them (texts, ragged lists) counts as one."""
    if not isinstance(value, (list, tuple, numpy.ndarray)):
        return 1
    try:
        return int(numpy.size(value))
    except ValueError:
        return 1
