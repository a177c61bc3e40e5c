"""What storage can fail with: one base error, whose children keep their facts and build their own sentence."""

from __future__ import annotations


class StorageError(Exception):
    """Something durable could not be read or written; says what, where and what to do."""


class SettingWrong(StorageError):
    """A setting of the environment is missing or cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"`{name}` {reason}")


class UnknownAccount(StorageError):
    """No account has this id."""

    def __init__(self, account_id: object) -> None:
        self.account_id = account_id
        super().__init__(f"no account has the id `{account_id}`; list them with `GET /api/admin/accounts`")


class UnknownServer(StorageError):
    """No server has this id."""

    def __init__(self, server_id: object) -> None:
        self.server_id = server_id
        super().__init__(f"no server has the id `{server_id}`")


class UnknownIntent(StorageError):
    """No intent has this id, or the policy in force knows no intent of this name."""

    def __init__(self, intent: object) -> None:
        self.intent = intent
        super().__init__(f"no intent is called `{intent}`")


class NotMigrated(StorageError):
    """The database has no tables yet, or older ones."""

    def __init__(self, found: str | None, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            f"the database is at migration `{found or 'none'}`, expected `{expected}`; run `forbear db upgrade`"
        )


class NoPolicy(StorageError):
    """No policy has been deployed."""

    def __init__(self) -> None:
        super().__init__("no policy is in force; deploy one with `forbear policy deploy policy`")


class StateVanished(StorageError):
    """A new policy lacks a machine or state that accounts or servers are in."""

    def __init__(self, occupied: list[tuple[str, str, str]]) -> None:
        self.occupied = occupied
        lines = ", ".join(f"`{machine}.{state}` (for one, {where})" for machine, state, where in occupied)
        super().__init__(
            f"the new policy lacks states that are in use: {lines}; keep each until nothing is left in it, or map it"
        )


class PolicyMoved(StorageError):
    """Another policy came into force after the effect of this one was looked at; nothing has changed."""

    def __init__(self, expected: str, found: str | None) -> None:
        self.expected = expected
        self.found = found
        super().__init__(
            f"somebody put policy {(found or 'none')[:12]} in force since the effect on {expected[:12]} was looked at; "
            "nothing has changed, look again"
        )


class FenceLost(StorageError):
    """The lease that allowed this write was taken over by somebody else; nothing was written."""

    def __init__(self, name: str, token: int) -> None:
        self.name = name
        self.token = token
        super().__init__(f"the lease `{name}` is no longer held under token {token}; another process leads now")


class Busy(StorageError):
    """Rows stayed locked by others through every try; nothing was written, and asking again is safe."""

    def __init__(self, what: str, tries: int) -> None:
        self.what = what
        self.tries = tries
        super().__init__(f"{what} stayed locked by other work through {tries} tries; nothing was written, try again")


class DestructiveRefused(StorageError):
    """An intent that destroys was asked for directly."""

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(f"`{action}` destroys data and is never carried out on request; the refusal was recorded")


class ClockFixed(StorageError):
    """The clock can only be moved where the test clock is switched on."""

    def __init__(self) -> None:
        super().__init__("the test clock is off; start with `forbear up --test-clock` to move it")


class AlreadyTaken(StorageError):
    """A unique name or id belongs to something else."""

    def __init__(self, what: str, value: str) -> None:
        self.what = what
        self.value = value
        super().__init__(f"the {what} `{value}` is already taken")


class UnknownCustomer(StorageError):
    """No customer has this id."""

    def __init__(self, customer_id: object) -> None:
        self.customer_id = customer_id
        super().__init__(f"no customer has the id `{customer_id}`")


class ZoneUnknown(StorageError):
    """The database knows no time zone of this name, and could not compute with it."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        super().__init__(f"the database knows no time zone `{zone}`")


class PlanUnknown(StorageError):
    """The policy in force knows no plan of this name."""

    def __init__(self, plan: str, known: tuple[str, ...]) -> None:
        self.plan = plan
        self.known = known
        super().__init__(f"the policy has no plan `{plan}`, expected one of {', '.join(f'`{name}`' for name in known)}")


class IntentSettled(StorageError):
    """An intent that has ended in good order needs nobody's word."""

    def __init__(self, intent_id: object, status: str) -> None:
        self.intent_id = intent_id
        self.status = status
        super().__init__(f"intent `{intent_id}` is {status}; only an unknown or failed one can be settled by a person")


class ServersStopped(StorageError):
    """Billing keeps an account's servers stopped, so none is started."""

    def __init__(self, server_id: object, state: str) -> None:
        self.server_id = server_id
        self.state = state
        super().__init__(f"server `{server_id}` is {state}: it is not started before that is lifted")


class UnknownOperation(StorageError):
    """No operation has this id."""

    def __init__(self, operation_id: object) -> None:
        self.operation_id = operation_id
        super().__init__(f"no operation has the id `{operation_id}`")


class DeletionBegun(StorageError):
    """A server is being taken away already: no half of it is given back."""

    def __init__(self, server_id: object) -> None:
        self.server_id = server_id
        super().__init__(f"server `{server_id}` is being taken away already; its backups are kept")


class OperationRefused(StorageError):
    """A person wants to resume or clean up an operation for which that makes no sense."""

    def __init__(self, operation_id: object, wish: str, why: str) -> None:
        self.operation_id = operation_id
        self.wish = wish
        self.why = why
        super().__init__(f"operation `{operation_id}` is not {wish}: {why}")


class KeyReused(StorageError):
    """An Idempotency-Key came with another request than the one that it was first used for."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the Idempotency-Key `{key}` was used for another request; take a new one for a new request")


class UnknownBackup(StorageError):
    """No backup of this server has this id."""

    def __init__(self, backup_id: object) -> None:
        self.backup_id = backup_id
        super().__init__(f"no backup has the id `{backup_id}`")


class UnknownHold(StorageError):
    """No hold has this id or kind, or it has ended."""

    def __init__(self, hold: object, known: tuple[str, ...] = ()) -> None:
        self.hold = hold
        self.known = known
        expected = f", expected one of {', '.join(f'`{kind}`' for kind in known)}" if known else " that is active"
        super().__init__(f"there is no hold `{hold}`{expected}")


class UnknownEvent(StorageError):
    """Stripe has sent no event with this id."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(f"no event has the id `{event_id[:60]}`")


class EventSettled(StorageError):
    """The event is neither parked nor quarantined: there is nothing to decide about it."""

    def __init__(self, event_id: str, status: str) -> None:
        self.event_id = event_id
        self.status = status
        super().__init__(f"event `{event_id}` is {status} already; only parked and quarantined ones wait for a person")


class UnknownDispute(StorageError):
    """Stripe has told of no dispute with this id."""

    def __init__(self, dispute_id: str) -> None:
        self.dispute_id = dispute_id
        super().__init__(f"no dispute has the id `{dispute_id[:60]}`")


class DisputeNotLost(StorageError):
    """The bank has not decided against us, so there is nothing to settle."""

    def __init__(self, dispute_id: str, status: str) -> None:
        self.dispute_id = dispute_id
        self.status = status
        super().__init__(f"dispute `{dispute_id}` is `{status}`; only one that is lost can be settled")
