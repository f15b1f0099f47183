"""What can go wrong between the front and the node, as the few kinds that a caller treats differently."""


class HostError(Exception):
    """The broker could not do what was asked; the message is a sentence for a person."""


class NamespaceGone(HostError):  # noqa: N818  says what happened
    """The network namespace no longer exists: its pod died."""


class BrokerGone(HostError):  # noqa: N818  says what happened
    """The broker is dead or does not answer; nothing can be read any more over this connection."""


class FixRefused(HostError):  # noqa: N818  says what happened
    """A fix was refused; nothing was changed, or it was changed back. `kind` is one of `agent.host.operations.REFUSALS`.

    `difference` has the lines that came (`+`) and went (`-`) since the plan, where that is the reason.
    """

    def __init__(self, kind: str, sentence: str, difference: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.kind, self.difference = kind, difference
