"""Strategic merge patch: a merge patch that knows how lists of built-in types are keyed.

Rules, directives and the order of merged lists are those of apimachinery
`pkg/util/strategicpatch` (documented in sig-api-machinery/strategic-merge-patch.md):

    $patch: replace | delete         in an object: take it instead of merging; empty it
                                     in an element of a keyed list: the patch's elements become the
                                     list; the element of that key goes
    $retainKeys: [a, b]              only these fields of the object survive
    $deleteFromPrimitiveList/f: [x]  take these values out of list `f`
    $setElementOrder/f: [...]        the order of list `f` after merging

The order of a merged list, as a worked example: elements of the patch keep the patch's order,
elements only the server has keep theirs; where both are known to the server its order decides
between the two, otherwise the patch's element goes first:

    server [a, b, c], patch [b, new]   ->  [a, b, new, c]
    server [a, b],    patch [new]      ->  [new, a, b]
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.api.schema.scalars import word_of

_PATCH: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_PREFIX: Final = "$deleteFromPrimitiveList/"
_ORDER_PREFIX: Final = "$setElementOrder/"
_BAD_RETAIN_KEYS: Final = "invalid patch format of retainKeys"
_BAD_PRIMITIVE_LIST: Final = "invalid patch format of primitive list"
_BAD_ORDER: Final = "invalid patch format of setElementOrder list"
_DIRECTIVES: Final = (_PATCH, _RETAIN_KEYS, _DELETE_PREFIX, _ORDER_PREFIX)
_ONLY_PATCH: Final = frozenset({_PATCH})
_DROP: Final = object()
_ABSENT: Final = object()
_SCALARS: Final = frozenset({str, int, float, bool})

_Identity = Callable[[Any], str]
_Fresh = Callable[[Any], Any]
"""Makes of a patch's value what is new to the object: without nulls and directives."""


def apply(obj: Object, patch: object, schema: Schema) -> Object:
    """The object of type `schema` with the patch merged in.

    Raises:
        ApiError: 400 or 422 for a patch that is none.
    """
    if patch is None:
        return obj  # Go decodes null into a map with nothing in it
    if not isinstance(patch, dict):
        kind = word_of(patch)
        raise bad_request(
            f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return _merge_map(obj, patch, schema, _as_it_is if _is_plain(patch) else _without_directives)


def _is_plain(patch: Object) -> bool:
    """False if the patch may hold nulls or directives; most hold none."""
    text = orjson.dumps(patch)
    return b'"$' not in text and b"null" not in text


def _as_it_is(value: Any) -> Any:
    return value


def _merge_map(original: Object, patch: Object, schema: Schema | None, fresh: _Fresh) -> Object:
    """The object with the patch merged in; `original` itself if that changes nothing."""
    if _PATCH in patch:
        return _obey_in_map(patch)
    for key in patch:
        if key[:1] == "$":
            return _merge_with_directives(original, patch, schema)
    result: Object | None = None
    for key, value in patch.items():
        old = original.get(key, _ABSENT)
        new = _ABSENT if value is None else _merged(old, value, _field(schema, key), fresh)
        if new is old or new is _DROP:
            continue
        if result is None:
            result = dict(original)
        if new is _ABSENT:
            del result[key]
        else:
            result[key] = new
    return original if result is None else result


def _merge_with_directives(original: Object, patch: Object, schema: Schema | None) -> Object:
    result = _retain_keys(original, patch)
    ordered = _merge_ordered_lists(result, patch, schema)
    for key, value in patch.items():
        if key.startswith(_DELETE_PREFIX):
            _delete_values(result, key.removeprefix(_DELETE_PREFIX), value)
    for key, value in patch.items():
        if key == _RETAIN_KEYS or key in ordered or key.startswith((_ORDER_PREFIX, _DELETE_PREFIX)):
            continue
        if value is None:
            result.pop(key, None)
            continue
        new = _merged(result.get(key, _ABSENT), value, _field(schema, key), _without_directives)
        if new is not _DROP:
            result[key] = new
    return result


def _obey_in_map(patch: Object) -> Object:
    match patch[_PATCH]:
        case "replace":
            rest = _without_directives({k: v for k, v in patch.items() if k != _PATCH})
            assert isinstance(rest, dict)
            return rest
        case "delete":
            return {}
    raise _rejected()


def _merged(old: Any, value: Any, schema: Schema | None, fresh: _Fresh) -> Any:
    """A field's new value: `old` itself if it stays, `_DROP` if it should not be there at all."""
    kind = value.__class__
    if kind is dict and old.__class__ is dict:
        if schema is None or "replace" not in schema.patch_strategy:
            return old if old == value else _merge_map(old, value, schema, fresh)
    elif kind is list:
        if old.__class__ is list and _merges(schema):
            assert schema is not None
            return old if old == value else _merge_list(old, value, schema, fresh)
    elif kind is not dict:
        return old if old.__class__ is kind and old == value else value
    return fresh(value)


def _field(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    return schema.fields.get(key) or schema.element


def _merges(schema: Schema | None) -> bool:
    return schema is not None and "merge" in schema.patch_strategy


def _retain_keys(original: Object, patch: Object) -> Object:
    """A copy of the original, with the fields that survive."""
    if _RETAIN_KEYS not in patch:
        return dict(original)
    keys = patch[_RETAIN_KEYS]
    if not isinstance(keys, list):
        raise bad_request(_BAD_RETAIN_KEYS)
    for key, value in patch.items():
        directive = key == _RETAIN_KEYS or key.startswith((_DELETE_PREFIX, _ORDER_PREFIX))
        if value is not None and not directive and key not in keys:
            raise bad_request(_BAD_RETAIN_KEYS)
    return {key: value for key, value in original.items() if key in keys}


def _delete_values(result: Object, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise bad_request(_BAD_PRIMITIVE_LIST)
    old = result.get(key)
    if isinstance(old, list):
        result[key] = [value for value in old if value not in values]


def _merge_ordered_lists(result: Object, patch: Object, schema: Schema | None) -> set[str]:
    """Merge the lists whose order the patch gives; returns their names."""
    done: set[str] = set()
    for directive, order in patch.items():
        if not directive.startswith(_ORDER_PREFIX):
            continue
        key = directive.removeprefix(_ORDER_PREFIX)
        old, new = result.get(key), patch.get(key)
        if not all(isinstance(each, list | None) for each in (old, new)) or not isinstance(
            order, list
        ):
            raise bad_request(_BAD_ORDER)
        if old is None and new is None:
            continue
        field = _field(schema, key)
        identity = _identity(field.patch_merge_key if field is not None else "")
        _check_order(new or [], order, identity)
        merged: Any = old
        if old is None:
            merged = _without_directives(new)
        elif new is not None:
            merged = new
            if field is not None and _merges(field):
                merged = _merge_list(old, new, field, _without_directives)
        result[key] = _in_order(merged, order, old or [], identity)
        done.add(key)
    return done


def _check_order(elements: Sequence[Any], order: Sequence[Any], identity: _Identity) -> None:
    """What the patch adds or changes must stand in the order list, in the same order."""
    # `in` on an iterator consumes it up to the element it finds: what follows is sought behind.
    rest = iter([identity(each) for each in order])
    for element in elements:
        if isinstance(element, dict) and element.get(_PATCH) == "delete":
            continue
        if identity(element) not in rest:
            raise bad_request(
                f"The order in patch list:\n{_go(elements)}\n doesn't match"
                f" $setElementOrder list:\n{_go(order)}\n"
            )


def _merge_list(original: list[Any], patch: list[Any], schema: Schema, fresh: _Fresh) -> list[Any]:
    if not original and not patch:
        return original
    if not any(isinstance(element, dict) for element in (*original, *patch)):
        merged = list(dict.fromkeys((*original, *patch)))
        return _in_order(merged, patch, original, _identity(""))
    merge_key = schema.patch_merge_key
    if not merge_key:
        raise bad_request(f"cannot merge lists without merge key for {schema.name}")
    identity = _identity(merge_key)
    if _is_paired(original, patch, merge_key):
        # What a writer of status sends: the elements that are there, in their order.
        return [
            old if old == new else _merge_map(old, new, schema.element, fresh)
            for old, new in zip(original, patch, strict=True)
        ]
    original, patch = _obey_in_list(original, patch, identity)
    merged = list(original)
    places = {identity(element): index for index, element in enumerate(original)}
    for element in patch:
        place = places.get(identity(element))
        if place is not None:
            merged[place] = _merge_map(merged[place], element, schema.element, fresh)
        else:
            places[identity(element)] = len(merged)
            merged.append(fresh(element))
    return _in_order(merged, patch, original, identity)


def _is_paired(original: list[Any], patch: list[Any], merge_key: str) -> bool:
    """Whether a patch has the very elements of a list in the very order, and no directives."""
    if len(original) != len(patch):
        return False
    seen = set()
    for old, new in zip(original, patch, strict=True):
        if old.__class__ is not dict or new.__class__ is not dict or _PATCH in new:
            return False
        name = old.get(merge_key)
        if name.__class__ is not str or name in seen or new.get(merge_key) != name:
            return False
        seen.add(name)
    return True


def _obey_in_list(
    original: list[Any], patch: list[Any], identity: _Identity
) -> tuple[list[Any], list[Any]]:
    """Carry out `$patch` elements: what is left of the original, and of the patch."""
    plain: list[Any] = []
    replace = False
    for element in patch:
        directive = element.get(_PATCH) if isinstance(element, dict) else None
        match directive:
            case None:
                plain.append(element)
            case "delete":
                gone = identity(element)
                original = [each for each in original if identity(each) != gone]
            case "replace":
                replace = True
            case "merge":
                raise bad_request("merging lists cannot yet be specified in the patch")
            case _:
                raise _rejected()
    if replace:
        return [_without_directives(element) for element in plain], []
    return original, plain


def _in_order(
    merged: list[Any], patch_order: Sequence[Any], server_order: Sequence[Any], identity: _Identity
) -> list[Any]:
    """Order a merged list as the module's text says."""
    by_patch = {identity(element): at for at, element in enumerate(patch_order)}
    by_server = {identity(element): at for at, element in enumerate(server_order)}
    mine = [each for each in merged if identity(each) in by_patch]
    mine.sort(key=lambda each: by_patch[identity(each)])
    theirs = [each for each in merged if identity(each) not in by_patch]
    ordered = []
    for element in mine:
        place = by_server.get(identity(element))
        while theirs and place is not None and by_server.get(identity(theirs[0]), place) < place:
            ordered.append(theirs.pop(0))
        ordered.append(element)
    return ordered + theirs


def _identity(merge_key: str) -> _Identity:
    """What makes two elements the same: the value of the merge key, or the scalar itself."""

    def of_map(element: Any) -> str:
        if not isinstance(element, dict) or merge_key not in element:
            raise bad_request(
                f"map: {_go(element)} does not contain declared merge key: {merge_key}"
            )
        return _go(element[merge_key])

    return of_map if merge_key else _go


def _without_directives(value: Any) -> Any:
    """A value that is new to the object: without nulls and directives, and without what only says
    that it should go (`_DROP`).
    """
    kind = value.__class__
    if kind is dict:
        if value.get(_PATCH) == "delete":
            return _DROP
        return {
            key: fresh
            for key, each in value.items()
            if each is not None
            and not (key[:1] == "$" and key.startswith(_DIRECTIVES))
            and (fresh := each if each.__class__ in _SCALARS else _without_directives(each))
            is not _DROP
        }
    if kind is list:
        kept = [_without_directives(each) for each in value]
        return [
            new
            for old, new in zip(value, kept, strict=True)
            if new is not _DROP and not (old.__class__ is dict and old.keys() == _ONLY_PATCH)
        ]
    return value


def _go(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if value.__class__ is str:
        return str(value)
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_go, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _rejected() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, details={})
