"""What svcc verify prints, in the format that was asked for."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svcc.commands.arguments import split_rules

if TYPE_CHECKING:
    from svcc.api import Objects, Problem, Report
    from svcc.api.manifests import Manifests
    from svcc.verify.report.places import Places


def write(arguments: argparse.Namespace, objects: Objects, reports: list[Report]) -> None:
    """Print the reports."""
    if arguments.output == "text":
        for report in reports:
            sys.stdout.write(report.to_text(trace=arguments.trace))
        if len(reports) > 1:
            from svcc.verify.report.several import nodes_in_short

            sys.stdout.write(f"{nodes_in_short(reports)}\n")
        return
    from svcc.api.manifests import Manifests

    manifests = Manifests(objects)
    if arguments.output == "json":
        from svcc.verify.report.report import combined_json

        manifests.look_up_for([])
        _write_json(combined_json(reports, manifests.of_origin))
        return
    manifests.look_up_for(reports)
    # Those of a bundle are in its node's report alone.
    every = dict.fromkeys((*objects.problems, *(p for report in reports for p in report.problems)))
    problems = [problem for problem in every if problem.severity != "note" or problem.code]
    _write_for_tools(arguments, reports, problems, _places(arguments, manifests))


def write_problems(arguments: argparse.Namespace, problems: list[Problem]) -> None:
    """Print what is wrong with the input, so that what reads the result learns it; as text it is
    told on standard error alone.
    """
    if arguments.output == "text":
        return
    if arguments.output == "json":
        from svcc.verify.report.report import problems_json

        _write_json(problems_json(problems))
        return
    from svcc.api import Objects
    from svcc.api.manifests import Manifests

    _write_for_tools(arguments, [], problems, _places(arguments, Manifests(Objects())))


def _write_for_tools(
    arguments: argparse.Namespace, reports: list[Report], problems: list[Problem], places: Places
) -> None:
    if arguments.output == "sarif":
        from svcc import __version__
        from svcc.verify.report.sarif import sarif

        _write_json(sarif(reports, __version__, places, problems))
    elif arguments.output == "junit":
        from svcc.verify.report.junit import junit

        sys.stdout.write(junit(reports, problems))
    else:
        from svcc.verify.report.github import github

        sys.stdout.writelines(github(reports, places, problems))


def _write_json(found: dict[str, Any]) -> None:
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _places(arguments: argparse.Namespace, manifests: Manifests) -> Places:
    from svcc.verify.report.places import Places

    # GitHub tells the root of the sources; elsewhere it is where the command is run.
    root = os.environ.get("GITHUB_WORKSPACE") or os.getcwd()
    rules = (split_rules(text)[1] for text in arguments.rules)
    inputs = (*rules, *(arguments.filename or ()))
    return Places(Path(root), inputs, manifests.place, manifests.of_origin)
