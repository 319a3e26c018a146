"""Finds commands in documents and scripts, and asks a click command tree to parse them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

_ENDS = {";", ";;", "&", "&&", "|", "||", "(", ")", "<", ">", ">>"}
_WORDS = {"then", "else", "do", "fi", "done", "if", "exec"}


def fenced(markdown: str) -> str:
    """The lines inside fenced blocks."""
    blocks = re.findall(r"^ *```[^\n]*\n(.*?)^ *```", markdown, flags=re.S | re.M)
    return "\n".join(blocks)


def written_files(markdown: str) -> dict[str, str]:
    """Name → content of the files that a page has its reader write, outside any folder."""
    block = r"<!-- file: ([\w.-]+) -->\n```\w+\n(.*?)```"
    return dict(re.findall(block, markdown, flags=re.S))


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The arguments of every call of ``program`` that has some, whatever its folder.

    In a synopsis, what two spaces or more separate from the command is its description; a comment
    is a command if two spaces or more follow its ``#``, and prose otherwise.
    """
    joined = re.sub(r"\s*\\\n\s*(#\s*)?", " ", text)  # a continued line, commented out or not
    for line in joined.splitlines():
        line = re.sub(r"^\s*(#(?! {2}).*|# {2,}|- )", "", line)
        line = re.sub(r"(?<=\S)(?: {2,}| # ).*", "", line.strip())
        if program not in line:
            continue
        found: list[str] | None = None
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
        lexer.whitespace_split, lexer.commenters = True, ""
        for word in lexer:
            if found is None:
                if PurePosixPath(word).name == program:
                    found = []
            elif word in _ENDS or word in _WORDS:
                if found:
                    yield found
                found = None
            else:
                found.append(word)
        if found:
            yield found


def fault(tree: Any, arguments: list[str]) -> str:
    """What the command tree says against ``arguments``; nothing is run, empty if it parses.

    Args:
        tree: a click command or group (typer's click or the other one).
        arguments: without the program's name.
    """
    parent, name, rest = None, "", list(arguments)
    try:
        while hasattr(tree, "commands"):
            if not rest:
                return "No command"
            if rest[0] not in tree.commands:
                return f"{' '.join(arguments)}: No such command"
            parent = tree.context_class(tree, info_name=name, parent=parent)
            name, tree, rest = rest[0], tree.commands[rest[0]], rest[1:]
        tree.make_context(name, rest, parent=parent)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return f"{' '.join(arguments)}: {error.format_message()}"
    return ""


def leaves(tree: Any, before: str = "") -> dict[str, Any]:
    """Every command of a tree that does something, by its words: ``leaderboard add``."""
    found: dict[str, Any] = {}
    for name, command in tree.commands.items():
        words = f"{before} {name}".lstrip()
        found |= leaves(command, words) if hasattr(command, "commands") else {words: command}
    return found


def leaf_of(tree: Any, words: list[str]) -> str:
    """The command that a line begins with, one of :func:`leaves`; empty if there is none."""
    known = leaves(tree)
    return next((c for n in (1, 2) if (c := " ".join(words[:n])) in known), "")
