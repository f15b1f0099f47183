"""What can go wrong before an incident is on stage, as sentences for a person."""


class LabError(Exception):
    """The lab cannot be staged here; the message is one sentence that says why and, where it is known, what to do."""


class UnknownIncidentError(LabError):
    """No incident, or no variant of it, has that name."""
