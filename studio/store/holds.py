"""Named, expiring holds: of several studios on one workspace one launches on a device, and one ingests a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from studio.store.schema import hold


def take(
    c: Connection, name: str, holder: str, *, seconds: float, gone: Callable[[str], bool] = lambda _: False
) -> bool:
    """Take or renew a hold. False when another holder has it, has not let it expire and is not `gone`."""
    row = c.execute(select(hold.c.holder, hold.c.expires_at).where(hold.c.name == name)).first()
    moment = datetime.now(UTC).replace(tzinfo=None)
    if row is not None and row.holder != holder and row.expires_at > moment.isoformat() and not gone(row.holder):
        return False
    until = (moment + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    wanted = insert(hold).values(name=name, holder=holder, expires_at=until)
    c.execute(wanted.on_conflict_do_update(index_elements=[hold.c.name], set_={"holder": holder, "expires_at": until}))
    return True


def release(c: Connection, name: str, holder: str) -> None:
    """Give a hold back; nothing happens when another has it by now."""
    c.execute(delete(hold).where(hold.c.name == name, hold.c.holder == holder))
