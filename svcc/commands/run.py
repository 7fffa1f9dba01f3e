"""svcc run."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import FAILED, OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.agent.auditor import Auditor
    from svcc.agent.events import Events
    from svcc.agent.log import Log
    from svcc.agent.sources.source import Source
    from svcc.api import Configuration, NodeSettings, Objects
    from svcc.api.inputs import Note


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False, lock=False)
    options.add_node(parser)
    group = parser.add_argument_group("API server", "Without -f objects come from there.")
    group.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="how to reach it (default: clientConnection of --config, else as a pod's service "
        "account)",
    )
    group.add_argument("--master", metavar="URL", help="in place of the kubeconfig's server")
    parser.add_argument(
        "--audit",
        action="store_true",
        help="change nothing: judge whoever's rules there are as they and the objects change",
    )
    parser.add_argument(
        "--settle",
        metavar="DURATION",
        default="10s",
        help="with --audit: how long a proxy may take to follow a change (default: 10s)",
    )
    parser.add_argument(
        "--healthz-bind-address",
        metavar="ADDRESS[:PORT]",
        help="where /healthz and /livez are answered, or none (default: 0.0.0.0:10256)",
    )
    parser.add_argument(
        "--metrics-bind-address",
        metavar="ADDRESS[:PORT]",
        help="where /metrics is answered, or none (default: 127.0.0.1:10249)",
    )
    parser.add_argument(
        "--bind-address-hard-fail",
        action="store_true",
        help="end if such an address cannot be listened on",
    )
    parser.add_argument(
        "--sync-period",
        metavar="DURATION",
        help="how often rules are looked at without a change (default: 30s)",
    )
    parser.add_argument(
        "--min-sync-period",
        metavar="DURATION",
        help="how long it is at least from one sync to the next (default: 1s)",
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how lines are logged"
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="load rules without proving them first"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="go on where everything would be taken away, where this seems to be another node, or "
        "where a kube-proxy or another svcc is at work",
    )
    options.add_no_comments(parser)
    options.add_fallback(parser)
    options.add_kernel(parser)
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Follow until told to end."""
    from svcc.agent.agent import Agent
    from svcc.agent.keeper import Keeper, Keeping
    from svcc.agent.log import Log

    settings = _Settings(arguments)
    source = _source(arguments, settings)
    log = Log(say, arguments.log_format)
    if arguments.audit:
        events = None if arguments.filename else _events(source, settings, log)
        auditor = _auditor(arguments, settings, log, events)
        agent = Agent(source, settings.agent, "audit", auditor, log)
        if events is not None:
            agent.at_end(events.close)
    else:
        keeping = Keeping(
            prove=not arguments.no_verify,
            force=arguments.force,
            comments=not arguments.no_comments,
            iptables=arguments.iptables,
            fallback=arguments.fallback,
            conntrack=settings.agent.conntrack,
        )
        keeper = Keeper(settings.of, keeping, log.tell)
        agent = Agent(source, settings.agent, settings.mode, keeper, log)

    def reload(*_: object) -> None:
        settings.forget()
        agent.reload()

    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    signal.signal(signal.SIGINT, lambda *_: agent.stop())
    signal.signal(signal.SIGHUP, reload)
    return OK if agent.run() else FAILED


def _events(source: Source, settings: _Settings, log: Log) -> Events | None:
    """Whom findings are told, if objects come from an API server."""
    from svcc.agent.events import Events
    from svcc.agent.sources.cluster import ClusterSource

    if not isinstance(source, ClusterSource):
        return None
    return Events(source.client, settings.node_name(), log.tell)


def _auditor(
    arguments: argparse.Namespace, settings: _Settings, log: Log, events: Events | None
) -> Auditor:
    from svcc.agent.auditor import Auditor
    from svcc.agent.flags import settle_seconds

    if arguments.no_verify or arguments.force:
        raise bad_input("--audit", "nothing is loaded; --no-verify and --force say nothing here")
    settle = settle_seconds(arguments.settle)
    return Auditor(settings.of, log, settle=settle, iptables=arguments.iptables, events=events)


class _Settings:
    """The settings of flags, variables and --config, which is read anew when it is told to."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from svcc.agent.flags import AgentFlags

        self._arguments = arguments
        self._flags = given_by.flags(arguments)
        found = given_by.configuration(arguments)
        self._configuration: Configuration | None = found
        self.agent = AgentFlags(
            healthz_bind_address=arguments.healthz_bind_address,
            metrics_bind_address=arguments.metrics_bind_address,
            bind_address_hard_fail=arguments.bind_address_hard_fail,
            sync_period=arguments.sync_period,
            min_sync_period=arguments.min_sync_period,
        ).over(found.agent)
        named = arguments.proxy_mode or os.environ.get("SVCC_MODE")
        self.mode = named or found.settings.proxy_mode or "iptables"

    def node_name(self) -> str:
        """The name of this node."""
        from svcc.api import Objects

        given = self._arguments.hostname_override or os.environ.get("SVCC_NODE")
        return given or self.of(Objects(), lambda _: None).node_name

    def forget(self) -> None:
        """Read --config anew when it is needed next."""
        self._configuration = None

    def of(self, objects: Objects, note: Note) -> NodeSettings:
        """This node's, which may be among the objects.

        Raises:
            InputError: a setting is wrong.
        """
        from svcc.api import node_settings

        if self._configuration is None:
            self._configuration = given_by.configuration(self._arguments)
        return node_settings(
            objects,
            self._configuration,
            node=self._arguments.hostname_override,
            environment=os.environ,
            note=note,
            **self._flags,
        )


def _source(arguments: argparse.Namespace, settings: _Settings) -> Source:
    if not arguments.filename:
        from svcc.agent.flags import cluster_source

        node = settings.node_name()
        return cluster_source(settings.agent, node, arguments.kubeconfig, arguments.master)
    from svcc.agent.sources.files import Files

    if arguments.kubeconfig or arguments.master:
        raise bad_input("-f", "give files or an API server, not both")
    if "-" in arguments.filename:
        raise bad_input("-f", "standard input cannot be followed; give a file or folder")
    for name in arguments.filename:
        if not os.path.exists(name):
            raise bad_input(name, "there is no such file or folder")
    return Files(
        arguments.filename, recursive=arguments.recursive, exclude=tuple(arguments.exclude)
    )
