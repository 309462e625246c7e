"""Tokens to a tree: CEL's grammar (cel-go `parser/gen/CEL.g4`) by recursive descent.

What a macro is, is decided here (`macros`). Nesting is bounded, and so is the length of the text.
Syntax errors are in the words of ANTLR, whose parser cel-go uses; only the first is reported.
"""

from typing import Final, NoReturn

from ekslab.kube.api.cel import macros
from ekslab.kube.api.cel.failures import CompileError, Issue
from ekslab.kube.api.cel.lexing import END, Token, bytes_value, string_value, tokens_of
from ekslab.kube.api.cel.syntax import (
    Call,
    Entry,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
)
from ekslab.kube.api.cel.values import INT_MOST, UINT_MOST, Uint

_DEPTH_MOST: Final = 250  # cel-go's parser recursion limit
_LENGTH_MOST: Final = 100_000  # cel-go's expression size limit, in characters
_DIGITS_MOST: Final = 100  # more make no number that fits, and Python refuses to read them
_STARTS: Final = (
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', "
    "NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
)
_RELATIONS: Final = {
    "<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "==": "_==_", "!=": "_!=_", "in": "@in",
}  # fmt: skip
_SUMS: Final = {"+": "_+_", "-": "_-_"}
_PRODUCTS: Final = {"*": "_*_", "/": "_/_", "%": "_%_"}
_BINARY: Final = (_RELATIONS, _SUMS, _PRODUCTS)
_RESERVED: Final = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        CompileError: the text is no expression.
    """
    if len(text) > _LENGTH_MOST:
        message = (
            f"expression code point size exceeds limit: size: {len(text)}, limit {_LENGTH_MOST}"
        )
        raise CompileError("", [Issue(0, message)])
    tokens, issues = tokens_of(text)
    parser = _Parser(text, tokens)
    try:
        node = parser.whole()
    except _Wrong as wrong:
        issues.append(wrong.issue)
        raise CompileError(text, sorted(issues, key=lambda issue: issue.position)) from None
    issues.extend(parser.issues)
    if issues:
        raise CompileError(text, sorted(issues, key=lambda issue: issue.position))
    return node


class _Wrong(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, issue: Issue) -> None:
        super().__init__(issue.message)
        self.issue = issue


class _Parser:
    """One walk over the tokens. `issues` are those that do not stop it: wrong literals, macros."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self.issues: list[Issue] = []

    def whole(self) -> Node:
        node = self._expression()
        if self._kind != END:
            self._syntax(f"extraneous input '{self._token.text}' expecting <EOF>")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    @property
    def _kind(self) -> str:
        return self._tokens[self._at].kind

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _took(self, kind: str) -> bool:
        if self._kind != kind:
            return False
        self._at += 1
        return True

    def _syntax(self, message: str) -> NoReturn:
        raise _Wrong(Issue(self._token.position, f"Syntax error: {message}"))

    def _close(self, kind: str) -> None:
        if not self._took(kind):
            if kind == ")" and self._kind == END:
                self._syntax(f"missing ')' at '{self._token.text}'")
            expected = "')'" if kind == ")" else f"{{'{kind}', ','}}"
            self._syntax(f"mismatched input '{self._token.text}' expecting {expected}")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise _Wrong(Issue(0, f"expression recursion limit exceeded: {_DEPTH_MOST}"))
        node = self._either("||")
        if self._kind == "?":
            position = self._take().position
            yes = self._either("||")
            if not self._took(":"):
                self._syntax(f"mismatched input '{self._token.text}' expecting ':'")
            node = Call("_?_:_", [node, yes, self._expression()], position=position)
        self._depth -= 1
        return node

    def _either(self, operator: str) -> Node:
        """Conditions: `||` of `&&`s."""
        node = self._either("&&") if operator == "||" else self._binary(0)
        while self._kind == operator:
            position = self._take().position
            right = self._either("&&") if operator == "||" else self._binary(0)
            node = Call(f"_{operator}_", [node, right], position=position)
        return node

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        node = self._binary(level + 1)
        while (name := _BINARY[level].get(self._kind)) is not None:
            position = self._take().position
            node = Call(name, [node, self._binary(level + 1)], position=position)
        return node

    def _unary(self) -> Node:
        operator = self._kind
        if operator == "-" and self._tokens[self._at + 1].kind in {"NUM_INT", "NUM_FLOAT"}:
            return self._member(self._number(self._take().position, "-"))
        if operator not in {"!", "-"}:
            return self._member(self._primary())
        position = self._token.position
        count = 0
        while self._took(operator):
            count += 1
        node = self._member(self._primary())
        return Call(f"{operator}_", [node], position=position) if count % 2 else node

    def _member(self, node: Node) -> Node:
        depth = self._depth
        while True:
            kind = self._kind
            if kind == ".":
                node = self._selection(node)
            elif kind == "[":
                position = self._take().position
                name = "_[?_]" if self._took("?") else "_[_]"
                node = Call(name, [node, self._expression()], position=position)
                self._close("]")
            else:
                self._depth = depth
                return node
            self._depth += 1
            if self._depth > _DEPTH_MOST:
                raise _Wrong(Issue(0, f"expression recursion limit exceeded: {_DEPTH_MOST}"))

    def _selection(self, node: Node) -> Node:
        position = self._take().position
        optional = self._took("?")
        if self._kind == "ESC_IDENTIFIER":
            self.issues.append(Issue(self._token.position, "unsupported syntax: '`'"))
            self._take()
            return Select(node, "", position=position)
        if self._kind != "IDENTIFIER":
            shown = "" if self._kind == END else self._token.text
            self._syntax(f"no viable alternative at input '.{shown}'")
        name = self._take().text
        if self._kind == "(" and not optional:
            position = self._take().position
            args = self._arguments()
            return macros.expanded(Call(name, args, node, position=position), self.issues)
        return Select(node, name, optional=optional, position=position)

    def _arguments(self) -> list[Node]:
        if self._took(")"):
            return []
        if self._kind == END:
            starts = _STARTS.replace("'(',", "'(', ')',")
            self._syntax(f"mismatched input '<EOF>' expecting {{{starts}}}")
        args = [self._expression()]
        while self._took(","):
            args.append(self._expression())
        if not self._took(")"):
            self._syntax(f"mismatched input '{self._token.text}' expecting {{')', ','}}")
        return args

    def _primary(self) -> Node:
        token = self._token
        match token.kind:
            case "(":
                self._take()
                node = self._expression()
                self._close(")")
                return node
            case "[":
                return self._list()
            case "{":
                return self._map()
            case "IDENTIFIER":
                return self._name()
            case "." if self._tokens[self._at + 1].kind == "IDENTIFIER":
                self._take()
                return self._name()
            case "NUM_INT" | "NUM_UINT" | "NUM_FLOAT":
                return self._number(token.position, "")
            case "STRING" | "BYTES":
                return self._string()
            case "true" | "false" | "null":
                self._take()
                constants = {"true": True, "false": False, "null": None}
                return Literal(constants[token.kind], position=token.position)
        following = self._tokens[self._at + 1].kind if token.kind != END else END
        fits = following not in {END, *_RELATIONS, *_SUMS, *_PRODUCTS, ")", "]", "}", ",", "."}
        how = "extraneous" if fits or token.kind == "ESC_IDENTIFIER" else "mismatched"
        return self._syntax(f"{how} input '{token.text}' expecting {{{_STARTS}}}")

    def _name(self) -> Node:
        token = self._take()
        if self._kind != "(":
            if token.text in _RESERVED:
                message = f"reserved identifier: {token.text}"
                self.issues.append(Issue(token.position, message))
            return Ident(token.text, position=token.position)
        position = self._take().position
        args = self._arguments()
        return macros.expanded(Call(token.text, args, position=position), self.issues)

    def _list(self) -> Node:
        position = self._take().position
        elements: list[Node] = []
        optional: set[int] = set()
        while self._kind not in {"]", END}:
            if self._kind == "," and not elements:
                self._take()
                break
            if self._took("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if not self._took(","):
                break
        self._close("]")
        return ListLiteral(elements, frozenset(optional), position=position)

    def _map(self) -> Node:
        position = self._take().position
        entries: list[Entry] = []
        while self._kind not in {"}", END}:
            if self._kind == "," and not entries:
                self._take()
                break
            optional = self._took("?")
            key = self._expression()
            if not self._took(":"):
                self._syntax(f"mismatched input '{self._token.text}' expecting ':'")
            entries.append(Entry(key, self._expression(), optional))
            if not self._took(","):
                break
        self._close("}")
        return MapLiteral(entries, position=position)

    def _number(self, position: int, sign: str) -> Node:
        token = self._take()
        text = token.text
        if token.kind == "NUM_FLOAT":
            real = float(sign + text)
            if real in {float("inf"), float("-inf")}:
                self.issues.append(Issue(position, "invalid double literal"))
            return Literal(real, position=position)
        unsigned = token.kind == "NUM_UINT"
        digits = text[:-1] if unsigned else text
        number = int(digits[:_DIGITS_MOST], 16 if digits.startswith("0x") else 10)
        if unsigned:
            if number > UINT_MOST:
                self.issues.append(Issue(position, "invalid uint literal"))
            return Literal(Uint(number), position=position)
        if number > INT_MOST + bool(sign):
            self.issues.append(Issue(position, "invalid int literal"))
        return Literal(-number if sign else number, position=position)

    def _string(self) -> Node:
        token = self._take()
        try:
            value = (string_value if token.kind == "STRING" else bytes_value)(token.text)
        except ValueError as error:
            self.issues.append(Issue(token.position, str(error)))
            value = ""
        return Literal(value, position=token.position)
