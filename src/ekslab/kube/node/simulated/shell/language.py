"""What a line means: a part of the POSIX shell's grammar, read into a tree. No I/O.

There are quotes, variables with defaults, `$(...)`, `;`, `&&`, `||`, `!`, pipes, redirections,
`( )`, `{ }`, `if`, `for`, `while` and `until`. There are no functions, no `case`, no arithmetic, no
here-documents and nothing in the background: a line that has them is refused as a whole.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

_OPERATORS: Final = ("&&", "||", ">>", ">&", "&>", "<<", ";;", ";", "|", "&", "(", ")", "<", ">",
                     "\n")  # fmt: skip
_ENDS_WORD: Final = frozenset(" \t\n;|&()<>")
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")
_SPECIAL: Final = frozenset("?$#@*!")
_DEPTH_MOST: Final = 32
SCRIPT_BYTES_MOST: Final = 64 << 10


class ScriptError(Exception):
    """The line cannot be read; the text is what a shell says."""


class IncompleteError(ScriptError):
    """The line goes on in the next one."""


class Text(NamedTuple):
    """Words as they stand."""

    text: str
    quoted: bool


class Variable(NamedTuple):
    """`$name` or `${name<operator>instead}`."""

    name: str
    quoted: bool
    operator: str = ""
    instead: "Word" = ()


class Substitution(NamedTuple):
    """`$(script)`."""

    script: "Script"
    quoted: bool


Part = Text | Variable | Substitution
Word = tuple[Part, ...]


class Redirect(NamedTuple):
    """`descriptor` goes to (or comes from) `target`; `operator` is <, >, >> or >&."""

    descriptor: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words."""

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, Word], ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`( ... )`, a shell of its own, or `{ ...; }`."""

    script: "Script"
    redirects: tuple[Redirect, ...]
    is_subshell: bool


@dataclass(frozen=True, slots=True)
class If:
    """`if ...; then ...; elif ...; else ...; fi`."""

    branches: tuple[tuple["Script", "Script"], ...]
    otherwise: "Script | None"
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words; do ...; done`."""

    name: str
    words: tuple[Word, ...]
    body: "Script"
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class While:
    """`while ...; do ...; done`, or `until`."""

    condition: "Script"
    body: "Script"
    until: bool
    redirects: tuple[Redirect, ...]


Command = Simple | Group | If | For | While


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by pipes."""

    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Script:
    """Pipelines, each with what must have gone before: "" anything, && success, || failure."""

    steps: tuple[tuple[str, Pipeline], ...] = field(default=())


class _Token(NamedTuple):
    """An operator (without `word`), or a word; `bare` is its text if nothing of it is quoted."""

    operator: str
    word: Word | None = None
    bare: str | None = None
    descriptor: int | None = None


def parse(text: str) -> Script:
    """Read a script.

    Raises:
        ScriptError: it is no script, or uses what is not there.
    """
    if len(text) > SCRIPT_BYTES_MOST:
        raise ScriptError("script too long")
    return _Parser(_Lexer(text).tokens()).whole()


class _Lexer:
    """Text to tokens."""

    def __init__(self, text: str, depth: int = 0) -> None:
        if depth > _DEPTH_MOST:
            raise ScriptError("nested too deeply")
        self._text = text
        self._depth = depth
        self._at = 0

    def tokens(self) -> list[_Token]:
        found: list[_Token] = []
        while (char := self._peek()) != "":
            if char in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif char == "#":
                self._skip_comment()
            elif (operator := self._operator()) is not None:
                found.append(operator)
            else:
                found.append(self._word())
        return found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip_comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _operator(self) -> _Token | None:
        descriptor = None
        start = self._at
        if self._peek().isdigit() and self._text[start + 1 : start + 2] in {"<", ">"}:
            descriptor = int(self._peek())
            start += 1
        for operator in _OPERATORS:
            if self._text.startswith(operator, start):
                self._at = start + len(operator)
                return _Token(operator, descriptor=descriptor)
        return None

    def _word(self) -> _Token:
        start = self._at
        parts: list[Part] = []
        while (char := self._peek()) != "" and char not in _ENDS_WORD:
            parts += self._part(char)
        raw = self._text[start : self._at]
        bare = raw if not any(mark in raw for mark in "'\"\\$`") else None
        return _Token("", tuple(parts), bare)

    def _part(self, char: str) -> list[Part]:
        if char == "'":
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise IncompleteError("Syntax error: Unterminated quoted string")
            text, self._at = self._text[self._at + 1 : end], end + 1
            return [Text(text, quoted=True)]
        if char == '"':
            return self._double_quoted()
        if char == "\\":
            text = self._text[self._at + 1 : self._at + 2]
            self._at += 2
            return [] if text == "\n" else [Text(text, quoted=True)]
        if char in "$`":
            return [self._dollar(quoted=False)]
        end = self._at
        while end < len(self._text) and self._text[end] not in _ENDS_WORD | set("'\"\\$`"):
            end += 1
        text, self._at = self._text[self._at : end], end
        return [Text(text, quoted=False)]

    def _double_quoted(self) -> list[Part]:
        self._at += 1
        parts: list[Part] = [Text("", quoted=True)]
        while (char := self._peek()) != '"':
            if char == "":
                raise IncompleteError("Syntax error: Unterminated quoted string")
            if char in "$`":
                parts.append(self._dollar(quoted=True))
                continue
            if char == "\\" and self._text[self._at + 1 : self._at + 2] in set('"\\$`\n'):
                self._at += 1
                char = self._peek().replace("\n", "")
            parts.append(Text(char, quoted=True))
            self._at += 1
        self._at += 1
        return parts

    def _dollar(self, *, quoted: bool) -> Part:
        text, at = self._text, self._at
        if text[at] == "`":
            end = text.find("`", at + 1)
            if end < 0:
                raise ScriptError("Syntax error: EOF in backquote substitution")
            self._at = end + 1
            return Substitution(self._script(text[at + 1 : end]), quoted)
        if text.startswith("$((", at):
            raise ScriptError("arithmetic is not there")
        if text.startswith("$(", at):
            end = self._closing(at + 1, "(", ")")
            self._at = end + 1
            return Substitution(self._script(text[at + 2 : end]), quoted)
        if text.startswith("${", at):
            end = self._closing(at + 1, "{", "}")
            self._at = end + 1
            return self._braced(text[at + 2 : end], quoted=quoted)
        end = at + 1
        if text[end : end + 1] in _SPECIAL or text[end : end + 1].isdigit():
            end += 1
        else:
            while text[end : end + 1] in _NAME and end < len(text):
                end += 1
        self._at = end
        name = text[at + 1 : end]
        return Variable(name, quoted) if name else Text("$", quoted)

    def _script(self, text: str) -> Script:
        return _Parser(_Lexer(text, self._depth + 1).tokens()).whole()

    def _braced(self, inside: str, *, quoted: bool) -> Variable:
        size = 0
        while size < len(inside) and inside[size] in _NAME:
            size += 1
        if size == 0 and inside[:1] in _SPECIAL:
            size = 1
        name, rest = inside[:size], inside[size:]
        operator = next((one for one in (":-", ":=", ":+", "-", "+") if rest.startswith(one)), "")
        if not name or (rest and not operator):
            raise ScriptError("Syntax error: Bad substitution")
        instead: list[Part] = []
        lexer = _Lexer(rest[len(operator) :], self._depth + 1)
        while (char := lexer._peek()) != "":
            if char in _ENDS_WORD:
                instead.append(Text(char, quoted))
                lexer._at += 1
            else:
                instead += lexer._part(char)
        return Variable(name, quoted, operator, tuple(instead))

    def _closing(self, start: int, opening: str, closing: str) -> int:
        """Where the bracket at `start` is closed; quotes hide brackets."""
        depth, quote, at = 0, "", start
        while at < len(self._text):
            char = self._text[at]
            if char == "\\" and quote != "'":
                at += 1
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if depth == 0:
                    return at
            at += 1
        raise IncompleteError(f'Syntax error: end of file unexpected (expecting "{closing}")')


_SEPARATORS: Final = frozenset({";", "\n"})
_CLOSERS: Final = frozenset({"then", "elif", "else", "fi", "do", "done", "}"})
_REDIRECTS: Final = frozenset({"<", ">", ">>", ">&", "&>"})


class _Parser:
    """Tokens to a tree, by recursive descent."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Script:
        script = self._script()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return script

    def _unexpected(self) -> ScriptError:
        if self._at >= len(self._tokens):
            return IncompleteError("Syntax error: end of file unexpected")
        token = self._tokens[self._at]
        name = {"\n": "newline"}.get(token.operator, token.operator) or token.bare or "word"
        return ScriptError(f'Syntax error: "{name}" unexpected')

    def _operator(self) -> str:
        return self._tokens[self._at].operator if self._at < len(self._tokens) else ""

    def _keyword(self) -> str:
        found = self._tokens[self._at].bare if self._at < len(self._tokens) else None
        return found or ""

    def _take(self, keyword: str) -> None:
        if self._keyword() != keyword:
            raise self._unexpected()
        self._at += 1

    def _skip_separators(self) -> None:
        while self._operator() in _SEPARATORS:
            self._at += 1

    def _script(self) -> Script:
        steps: list[tuple[str, Pipeline]] = []
        condition = ""
        self._skip_separators()
        while self._at < len(self._tokens) and self._operator() != ")":
            if self._keyword() in _CLOSERS:
                break
            steps.append((condition, self._pipeline()))
            operator = self._operator()
            if operator in {"&&", "||"}:
                self._at += 1
                condition = operator
                while self._operator() == "\n":
                    self._at += 1
                continue
            if operator not in _SEPARATORS:
                break
            condition = ""
            self._skip_separators()
        if condition and steps and self._tokens[self._at - 1].operator == condition:
            raise self._unexpected()
        return Script(tuple(steps))

    def _pipeline(self) -> Pipeline:
        negated = self._keyword() == "!"
        if negated:
            self._at += 1
        commands = [self._command()]
        while self._operator() == "|":
            self._at += 1
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _command(self) -> Command:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise ScriptError("nested too deeply")
        try:
            if self._operator() == "(":
                self._at += 1
                inside = self._script()
                if self._operator() != ")":
                    raise self._unexpected()
                self._at += 1
                return Group(inside, self._redirects(), is_subshell=True)
            match self._keyword():
                case "{":
                    self._at += 1
                    inside = self._script()
                    self._take("}")
                    return Group(inside, self._redirects(), is_subshell=False)
                case "if":
                    return self._if()
                case "for":
                    return self._for()
                case "while" | "until" as kind:
                    self._at += 1
                    condition = self._script()
                    body = self._body()
                    return While(condition, body, kind == "until", self._redirects())
                case _:
                    return self._simple()
        finally:
            self._depth -= 1

    def _body(self) -> Script:
        self._take("do")
        body = self._script()
        self._take("done")
        return body

    def _if(self) -> If:
        branches: list[tuple[Script, Script]] = []
        otherwise = None
        while self._keyword() in {"if", "elif"}:
            self._at += 1
            condition = self._script()
            self._take("then")
            branches.append((condition, self._script()))
        if self._keyword() == "else":
            self._at += 1
            otherwise = self._script()
        self._take("fi")
        return If(tuple(branches), otherwise, self._redirects())

    def _for(self) -> For:
        self._at += 1
        name = self._keyword()
        self._at += 1
        words: list[Word] = []
        self._take("in")
        while self._at < len(self._tokens) and (word := self._tokens[self._at].word) is not None:
            words.append(word)
            self._at += 1
        self._skip_separators()
        return For(name, tuple(words), self._body(), self._redirects())

    def _simple(self) -> Simple:
        words: list[Word] = []
        assignments: list[tuple[str, Word]] = []
        redirects: list[Redirect] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.word is None:
                if token.operator not in _REDIRECTS:
                    break
                redirects += self._redirects()
                continue
            assigned = None if words else _assignment(token.word)
            if assigned is not None:
                assignments.append(assigned)
            else:
                words.append(token.word)
            self._at += 1
        if not (words or assignments or redirects):
            raise self._unexpected()
        return Simple(tuple(words), tuple(assignments), tuple(redirects))

    def _redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while self._operator() in _REDIRECTS:
            token = self._tokens[self._at]
            self._at += 1
            if self._at >= len(self._tokens) or (target := self._tokens[self._at].word) is None:
                raise self._unexpected()
            self._at += 1
            if token.operator == "&>":
                one = (Text("1", quoted=False),)
                found += [Redirect(1, ">", target), Redirect(2, ">&", one)]
                continue
            default = 0 if token.operator == "<" else 1
            descriptor = default if token.descriptor is None else token.descriptor
            found.append(Redirect(descriptor, token.operator, target))
        return tuple(found)


def _assignment(word: Word) -> tuple[str, Word] | None:
    """`name=value`, if a word is that."""
    first = word[0]
    if not isinstance(first, Text) or first.quoted or "=" not in first.text:
        return None
    name, _, rest = first.text.partition("=")
    if not name or name[0].isdigit() or not set(name) <= _NAME:
        return None
    return name, (Text(rest, quoted=False), *word[1:])
