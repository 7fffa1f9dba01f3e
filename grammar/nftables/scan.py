"""The outer structure of nftables text: words, blocks and statements, with their places."""

from __future__ import annotations

import re
from bisect import bisect_right

_BLANK = re.compile(r"(?:[ \t\r\n;]|\\\n|#[^\n]*)+")
_WORD = re.compile(r'"[^"\n]*"|[^\s{};"#]+')
_CHUNK = re.compile(r'[^\n;{}"#\\]+|"[^"\n]*"|\\\n?')
_HANDLE = re.compile(r"#\s*handle (\d+)")


class Scanner:
    """Goes through a text; positions are offsets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._lines = [0]
        self._lines += [match.end() for match in re.finditer("\n", text)]

    def line_of(self, at: int) -> int:
        """The line of an offset, 1-based."""
        return bisect_right(self._lines, at)

    def column_of(self, at: int) -> int:
        """The column of an offset, 1-based."""
        return at - self._lines[self.line_of(at) - 1] + 1

    def skip(self) -> None:
        """Go past blanks, line ends, semicolons and comments."""
        found = _BLANK.match(self.text, self.at)
        if found:
            self.at = found.end()

    def is_done(self) -> bool:
        """Whether nothing is left but blanks."""
        self.skip()
        return self.at >= len(self.text)

    def take(self, mark: str) -> bool:
        """Go past a brace, if it is next."""
        self.skip()
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def words_of_head(self) -> list[str]:
        """The words up to a brace or the end of the line."""
        words: list[str] = []
        while True:
            while self.text[self.at : self.at + 1] in (" ", "\t", "\r"):
                self.at += 1
            found = _WORD.match(self.text, self.at)
            if not found:
                return words
            words.append(found.group())
            self.at = found.end()

    def statement(self) -> tuple[str, int, int | None]:
        """Text up to the end of a line or a semicolon outside braces, its offset, its handle."""
        start, depth, handle = self.at, 0, None
        text = self.text
        end = start
        while self.at < len(text):
            found = _CHUNK.match(text, self.at)
            if found:
                end = self.at = found.end()
                continue
            mark = text[self.at]
            if mark == "#":
                line_end = text.find("\n", self.at)
                line_end = len(text) if line_end < 0 else line_end
                told = _HANDLE.match(text, self.at, line_end)
                handle = int(told.group(1)) if told else handle
                self.at = line_end
                continue
            if mark in "\n;" and not depth:
                break
            if mark == "}" and not depth:
                break
            depth += (mark == "{") - (mark == "}")
            self.at += 1
            end = self.at
        return text[start:end].strip(), start, handle

    def block(self) -> tuple[str, int]:
        """Text between a brace and its match, and its offset; the brace is next."""
        depth = 0
        text = self.text
        start = self.at + 1
        while self.at < len(text):
            mark = text[self.at]
            if mark == '"':
                closing = text.find('"', self.at + 1)
                self.at = len(text) if closing < 0 else closing
            elif mark == "#":
                closing = text.find("\n", self.at)
                self.at = len(text) if closing < 0 else closing
            elif mark == "{":
                depth += 1
            elif mark == "}":
                depth -= 1
                if not depth:
                    self.at += 1
                    return text[start : self.at - 1], start
            self.at += 1
        return text[start:], start
