"""Every exception Helios raises on purpose.

HeliosError
├── ConfigError          a setting is wrong; nothing was started            exit 78
├── StateLocked          another daemon holds the state folder              exit 75
├── PortTaken            the HTTP address cannot be bound                   exit 69
├── StoreError           the database cannot be used                        exit 74
│   ├── StoreCorrupt     the database file or its journal is damaged        exit 65
│   └── StoreNewer       the database was written by a later Helios         exit 65
├── Refused              what was asked for cannot be done                  exit 64
│   ├── NotFound         what was asked for does not exist                  exit 66
│   └── ArtefactInvalid  a model's files are not what they should be        exit 65
├── DrawInvalid          a draw breaks its game's rules
├── FeedError            a source of draws misbehaved
│   ├── FeedUnreachable  no answer, or not one of success
│   └── FeedMalformed    an answer that cannot be read as draws
├── JobFailed            a computation in a worker process did not succeed
│   └── WorkerLost       the worker was killed or hung: trying again may help
│       └── JobTooLong   the job was ended at its time limit
└── JobStopped           a computation ended because it was asked to

Exit codes are those of BSD sysexits.h, so that a service manager can tell a bad setting
(78: do not restart) from a passing trouble (69, 74, 75: try again later).
"""


class HeliosError(Exception):
    """Helios met a condition it knows and cannot go on with."""

    exit_code = 70

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or type(self).__name__).splitlines()[0])


class ConfigError(HeliosError):
    """The configuration is not valid."""

    exit_code = 78


class StateLocked(HeliosError):
    """Another Helios daemon holds the state folder."""

    exit_code = 75


class PortTaken(HeliosError):
    """The HTTP address cannot be bound."""

    exit_code = 69


class StoreError(HeliosError):
    """The database cannot be used."""

    exit_code = 74


class StoreCorrupt(StoreError):
    """The database file or its journal is damaged."""

    exit_code = 65


class StoreNewer(StoreError):
    """The database was written by a later version of Helios."""

    exit_code = 65


class Refused(HeliosError):
    """What was asked for cannot be done."""

    exit_code = 64


class NotFound(Refused):
    """What was asked for does not exist."""

    exit_code = 66


class ArtefactInvalid(Refused):
    """The files of a model are missing, damaged, or not what they should be."""

    exit_code = 65


class DrawInvalid(HeliosError):
    """A draw breaks the rules of its game."""


class FeedError(HeliosError):
    """A source of draws misbehaved."""


class FeedUnreachable(FeedError):
    """A source of draws did not answer with success."""


class FeedMalformed(FeedError):
    """A source of draws gave an answer that cannot be read."""


DIVERGED = "training diverged"
"""How the message of a JobFailed begins where the loss of a training was no longer a finite number."""


class JobFailed(HeliosError):
    """A computation in a worker process did not succeed."""


class WorkerLost(JobFailed):
    """The worker process was killed or hung before it had a result."""


class JobTooLong(WorkerLost):
    """The job was ended at its time limit."""


class JobStopped(HeliosError):
    """A computation ended because it was asked to; what it had done so far is in its checkpoint."""


OUT_OF_MEMORY = ("bad_alloc", "can't allocate memory", "Cannot allocate memory")
"""What libraries say, who do not raise MemoryError, when the system gives them no more."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the system gives no more memory."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
