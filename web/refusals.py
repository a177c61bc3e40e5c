"""What the layers below refuse, as answers: only this folder knows HTTP statuses."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.errors import CommandRefused
from jobs.hosts import errors as host
from jobs.invoices.bank_file import BankFileWrong
from jobs.invoices.drawing import DrawingBusy
from jobs.operator_file import OperatorFileWrong
from jobs.stripe.checkout import CheckoutRefused, PaymentAway
from storage import errors as storage
from storage.database import is_lost, is_passing
from storage.invoicing import errors as invoices
from web.problems import Problem, log, sentence

AGAIN_SOON = {"Retry-After": "2"}
AWAY = 503

# The first class that fits answers: narrower ones stand before their bases.
ANSWERS: tuple[tuple[type[Exception], int, str], ...] = (
    (host.PathRefused, 400, "PATH_REFUSED"),
    (host.NothingToRevert, 404, "NOTHING_TO_REVERT"),
    (host.FileMissing, 404, "FILE_NOT_FOUND"),
    (host.WrongFileKind, 400, "WRONG_FILE_KIND"),
    (host.TooLarge, 413, "TOO_LARGE"),
    (host.NotText, 400, "NOT_TEXT"),
    (host.ConsoleLineRefused, 400, "CONSOLE_LINE_REFUSED"),
    (host.ConsoleBusy, 409, "CONSOLE_BUSY"),
    (host.NotRunning, 409, "NOT_RUNNING"),
    (host.StillRunning, 409, "STILL_RUNNING"),
    (host.HostBusy, 409, "SERVER_BUSY"),
    (host.BackupMissing, 404, "BACKUP_NOT_FOUND"),
    (host.BackupDamaged, 409, "BACKUP_DAMAGED"),
    (host.NotOffered, 501, "NOT_OFFERED"),
    (host.HostFull, 507, "HOST_FULL"),
    (storage.UnknownAccount, 404, "NOT_FOUND"),
    (storage.UnknownCustomer, 404, "NOT_FOUND"),
    (storage.PlanUnknown, 400, "BAD_INPUT"),
    (storage.ZoneUnknown, 400, "BAD_INPUT"),
    (storage.UnknownServer, 404, "NOT_FOUND"),
    (storage.UnknownIntent, 400, "UNKNOWN_ACTION"),
    (storage.UnknownOperation, 404, "NOT_FOUND"),
    (storage.DeletionBegun, 409, "DELETION_BEGUN"),
    (storage.OperationRefused, 409, "OPERATION_REFUSED"),
    (storage.UnknownEvent, 404, "NOT_FOUND"),
    (storage.EventSettled, 409, "ALREADY_SETTLED"),
    (storage.UnknownDispute, 404, "NOT_FOUND"),
    (storage.DisputeNotLost, 409, "NOT_LOST"),
    (storage.UnknownBackup, 404, "NOT_FOUND"),
    (storage.UnknownHold, 404, "NOT_FOUND"),
    (storage.KeyReused, 409, "IDEMPOTENCY_KEY_REUSED"),
    (storage.IntentSettled, 409, "ALREADY_SETTLED"),
    (storage.ServersStopped, 409, "SERVERS_STOPPED"),
    (storage.AlreadyTaken, 409, "ALREADY_TAKEN"),
    (storage.ClockFixed, 409, "TEST_CLOCK_OFF"),
    (storage.DestructiveRefused, 409, "DESTRUCTIVE_ACTION_REJECTED"),
    (invoices.UnknownInvoice, 404, "NOT_FOUND"),
    (invoices.UnknownOrder, 404, "NOT_FOUND"),
    (invoices.UnknownTenant, 404, "NOT_FOUND"),
    (invoices.UnknownRequest, 404, "NOT_FOUND"),
    (invoices.RequestSettled, 409, "ALREADY_SETTLED"),
    (invoices.UnknownLetter, 404, "NOT_FOUND"),
    (invoices.LetterSettled, 409, "ALREADY_SETTLED"),
    (invoices.MonthNotOver, 409, "MONTH_NOT_OVER"),
    (invoices.AlreadyIssued, 409, "ALREADY_ISSUED"),
    (invoices.ZoneFixed, 409, "ZONE_FIXED"),
    (invoices.VatNumberMissing, 409, "VAT_NUMBER_MISSING"),
    (invoices.TooLargeToInvoice, 409, "TOO_LARGE_TO_INVOICE"),
    (invoices.NotCreditable, 409, "NOT_CREDITABLE"),
    (invoices.PaymentRefused, 409, "PAYMENT_REFUSED"),
    (invoices.PriceRefused, 400, "PRICE_REFUSED"),
    (invoices.UsageRefused, 400, "USAGE_REFUSED"),
    (DrawingBusy, AWAY, "DRAWING_BUSY"),
    (BankFileWrong, 400, "BANK_FILE_WRONG"),
    (OperatorFileWrong, 409, "INVOICE_FILE_WRONG"),
    (storage.SettingWrong, 409, "NOT_CONFIGURED"),
    (CommandRefused, 409, "COMMAND_REFUSED"),
)

PAYMENT_AWAY = "Payments cannot be taken at the moment. Nothing was charged. Try again in a moment."
NOT_READY = "The server is not set up on its host yet. Wait until its operation has succeeded."
HOST_AWAY = "The machine that runs this server cannot be reached at the moment. Try again in a moment."
DATABASE_AWAY = "The service cannot reach its database at the moment. Nothing was changed. Try again in a moment."
BUSY = "Too much is going on with this account at the moment. Nothing was changed. Try again in a moment."
NOT_SET_UP = "The service is being set up. Try again in a moment."


def from_lower_layer(error: Exception) -> Problem | None:
    """Return the answer to an exception of storage, jobs or engine; None when nobody foresaw it."""
    for kind, status, code in ANSWERS:
        if isinstance(error, kind):
            return Problem(status, code, sentence(str(error)), headers=AGAIN_SOON if status == AWAY else None)
    if isinstance(error, CheckoutRefused):
        return Problem(409, error.code, sentence(str(error)))
    if isinstance(error, PaymentAway):
        log.error("%s", error)
        return Problem(503, "PAYMENT_AWAY", PAYMENT_AWAY, headers=AGAIN_SOON)
    if isinstance(error, host.ServerMissing):
        return Problem(409, "SERVER_NOT_READY", NOT_READY)
    if isinstance(error, host.HostUnavailable | host.HostMisconfigured | host.HostFailed):
        log.error("%s", error)
        return Problem(503, "HOST_UNAVAILABLE", HOST_AWAY, headers=AGAIN_SOON)
    if isinstance(error, storage.NotMigrated | storage.NoPolicy):
        log.error("%s", error)
        return Problem(503, "NOT_SET_UP", NOT_SET_UP, headers=AGAIN_SOON)
    if isinstance(error, storage.Busy) or is_passing(error):
        return Problem(503, "BUSY", BUSY, headers=AGAIN_SOON)
    if is_lost(error) or isinstance(error, PoolTimeout):
        log.error("the database cannot be reached: %s", type(error).__name__)
        return Problem(503, "DATABASE_UNAVAILABLE", DATABASE_AWAY, headers=AGAIN_SOON)
    if isinstance(error, DBAPIError | psycopg.Error) and _refuses_text(error):
        return Problem(400, "BAD_INPUT", "The request holds characters that cannot be stored.")
    return None


def _refuses_text(error: BaseException) -> bool:
    cause = getattr(error, "orig", error)
    if isinstance(cause, psycopg.errors.UntranslatableCharacter | psycopg.errors.CharacterNotInRepertoire):
        return True
    return type(cause) is psycopg.DataError and "NUL" in str(cause)  # the driver itself refuses that one
