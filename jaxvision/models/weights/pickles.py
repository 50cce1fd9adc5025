"""Interprets the pickles in torch's files without calling a function of the file's choice.

`pickle.Unpickler` can restrict the functions that a file names, but not what the file does with
them afterwards: it may hash deeply nested keys, set attributes of any object, and write through any
object that has items. This interpreter executes the instructions that `torch.save` writes, on
values of the types that it writes, and refuses all others.
"""

import io
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jaxvision.models.weights.errors import WeightsError

MAX_PICKLE_BYTES = 2**24
"""The longest pickle that is read; a tensor's name, shape and strides take about 200 bytes."""

MAX_INSTRUCTIONS = 1_000_000
"""The most instructions of one file that are executed; a tensor takes about 40."""

BYTES_PER_INSTRUCTION = 150
"""An upper estimate of the memory that an instruction takes, not counting its argument."""

_ARGUMENT_IS_VALUE = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SCALARS = (str, int, float, bool, bytes, type(None))


class Maker(NamedTuple):
    """A function that a pickle may call.

    Attributes:
        make: Makes a value from the arguments in the pickle, whose types it checks itself.
    """

    make: Callable[..., Any]


class Omitted(NamedTuple):
    """Stands for an object, of a type called `kind`, that holds no tensor and is not read."""

    kind: str


class Machine:
    """Executes the pickles of one file."""

    def __init__(
        self,
        find_global: Callable[[str, str], Any],
        find_storage: Callable[[Any], Any],
        *,
        file_size: int,
    ) -> None:
        """Sets the limits, which hold for all pickles of the file together.

        `find_global` resolves a module and a name, `find_storage` a persistent identifier. Values
        may take about three times as much memory as the file has bytes.
        """
        self._find_global = find_global
        self._find_storage = find_storage
        self._left = min(MAX_INSTRUCTIONS, (3 * file_size + 2**25) // BYTES_PER_INSTRUCTION)

    def load(self, file: io.BytesIO) -> Any:
        """Executes one pickle and returns its value; `file` is then at the end of the pickle.

        Raises a `WeightsError` if the pickle is damaged, too long, or names an unknown function.
        """
        stack = _Stack()
        memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(file):
            self._left -= 1
            if self._left < 0:
                raise WeightsError(
                    "its pickle has more instructions than weights need; where it was made, save "
                    "the tensors alone: torch.save(model.state_dict(), path)"
                )
            if opcode.name == "STOP":
                return stack.pop()
            if not (
                _put_value(opcode.name, argument, stack)
                or _collect(opcode.name, stack)
                or _remember(opcode.name, argument, stack, memo)
                or self._make(opcode.name, argument, stack)
            ):
                raise WeightsError(f"damaged: torch.save writes no instruction {opcode.name}")
        raise WeightsError("damaged: its pickle has no end")

    def _make(self, name: str, argument: Any, stack: "_Stack") -> bool:
        """Executes instructions that name functions, call them, or refer to storages."""
        match name:
            case "GLOBAL":
                stack.push(self._find_global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                module, attribute = stack.take(2)
                if type(module) is not str or type(attribute) is not str:
                    raise WeightsError("damaged: it names a function by something that is no name")
                stack.push(self._find_global(module, attribute))
            case "INST":
                stack.push(_call(self._find_global(*argument.split(" ", 1)), stack.take_marked()))
            case "REDUCE" | "NEWOBJ":
                function, arguments = stack.take(2)
                stack.push(_call(function, arguments))
            case "BUILD":
                _, target = stack.pop(), stack.top()
                # The state of an OrderedDict is metadata; that of other objects is not read.
                if type(target) not in (dict, Omitted):
                    raise WeightsError(f"damaged: it sets attributes of a {type(target).__name__}")
            case "BINPERSID":
                stack.push(self._find_storage(stack.pop()))
            case _:
                return False
        return True


class _Stack:
    """The values of a pickle that is being executed, in sections divided by marks."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._sections: list[list[Any]] = []

    def push(self, value: Any) -> None:
        self._values.append(value)

    def pop(self) -> Any:
        self.top()
        return self._values.pop()

    def take(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def top(self) -> Any:
        if not self._values:
            raise WeightsError("damaged: its pickle takes a value where there is none")
        return self._values[-1]

    def mark(self) -> None:
        self._sections.append(self._values)
        self._values = []

    def take_marked(self) -> list[Any]:
        if not self._sections:
            raise WeightsError("damaged: its pickle goes back to a mark that it has not set")
        taken, self._values = self._values, self._sections.pop()
        return taken


def _put_value(name: str, argument: Any, stack: _Stack) -> bool:
    """Executes instructions that push a number, a string or an empty container."""
    if name in _ARGUMENT_IS_VALUE:
        stack.push(argument)
    elif name in _LITERALS:
        stack.push(_LITERALS[name])
    elif name == "EMPTY_LIST":
        stack.push([])
    elif name == "EMPTY_DICT":
        stack.push({})
    elif name == "EMPTY_SET":
        stack.push(Omitted("set"))
    else:
        return name in ("PROTO", "FRAME")
    return True


def _collect(name: str, stack: _Stack) -> bool:
    """Executes instructions that put values into tuples, lists and dicts."""
    match name:
        case "MARK":
            stack.mark()
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.push(tuple(stack.take(_TUPLES[name])))
        case "TUPLE":
            stack.push(tuple(stack.take_marked()))
        case "LIST":
            stack.push(stack.take_marked())
        case "DICT":
            stack.push(_with_items({}, stack.take_marked()))
        case "FROZENSET":
            stack.take_marked()
            stack.push(Omitted("frozenset"))
        case "APPEND":
            value = stack.pop()
            _of_type(list, stack.top()).append(value)
        case "APPENDS":
            values = stack.take_marked()
            _of_type(list, stack.top()).extend(values)
        case "SETITEM":
            pair = stack.take(2)
            _with_items(_of_type(dict, stack.top()), pair)
        case "SETITEMS":
            pairs = stack.take_marked()
            _with_items(_of_type(dict, stack.top()), pairs)
        case "ADDITEMS":
            stack.take_marked()
            _of_type(Omitted, stack.top())
        case _:
            return False
    return True


def _remember(name: str, argument: Any, stack: _Stack, memo: dict[int, Any]) -> bool:
    """Executes instructions that number a value, and push it again."""
    match name:
        case "PUT" | "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack.top()
        case "MEMOIZE":
            memo[len(memo)] = stack.top()
        case "GET" | "BINGET" | "LONG_BINGET":
            if argument not in memo:
                raise WeightsError("damaged: its pickle refers to a value that it has not made")
            stack.push(memo[argument])
        case _:
            return False
    return True


def _call(function: Any, arguments: Any) -> Any:
    if type(function) is not Maker or type(arguments) not in (tuple, list):
        raise WeightsError("damaged: it calls something that is no function")
    return function.make(*arguments)


def _of_type(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise WeightsError(
            f"damaged: it changes a {type(value).__name__} as if it were a {kind.__name__}"
        )
    return value


def _with_items(target: dict[Any, Any], flat: list[Any]) -> dict[Any, Any]:
    """Puts alternating keys and values into a dict."""
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        _check_key(key)
        target[key] = value
    return target


def _check_key(key: Any) -> None:
    """Refuses keys whose hash might take long or, if they are nested, end the process."""
    parts: Iterable[Any] = key if type(key) is tuple and len(key) <= 16 else (key,)
    for part in parts:
        if type(part) not in _SCALARS or (type(part) is int and part.bit_length() > 64):
            raise WeightsError("damaged: a key of a dict is neither a string nor a usual number")
