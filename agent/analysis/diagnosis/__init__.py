"""From a capture to a report: who is who, what each witness says, which cause explains it, what would mend it."""
