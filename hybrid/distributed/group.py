"""Several processes, one run: how they meet, what they tell each other, how they part.

    with distributed.session(timeout=60):        # torchrun, srun or plain python: the same code
        settings = distributed.together(check)   # a mistake that one rank sees is everybody's
        content = distributed.from_main(load)    # rank 0 reads, all have it
        distributed.sum_(losses)                 # in place, over ranks

Everything here works for one process alone, too, and does nothing then. Every function but `rank`, `size`, `is_main` and
`heard` must be called by all ranks, in the same order. Messages between processes go over gloo, sums of GPU tensors over nccl.
"""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from hybrid.distributed.launch import Launch
from hybrid.distributed.meeting import meet
from hybrid.distributed.watch import GRACE, Watch, outlive_no_parent
from hybrid.errors import PeerLost, Stopped, UserError, is_one_line

T = TypeVar("T")

# How long a rank waits for one that lives but does not come: rank 0 may download data or draw figures. The dead are found by
# the watch, much sooner.
_PATIENCE = datetime.timedelta(hours=1)
_watch: Watch | None = None


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes work on the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is rank 0, the one that writes."""
    return rank() == 0


@contextlib.contextmanager
def session(*, timeout: float, launch: Launch | None = None) -> Iterator[None]:
    """Meet the other processes that `launch` (this process's environment) tells of, and part from them at the end.

    timeout: seconds after which a rank without a sign of life is taken for dead. Raises PeerLost, in place of whatever error
    it caused here, when another rank has failed or died; UserError when the ranks do not find each other.
    """
    global _watch
    launch = launch or Launch.read()
    if launch.size == 1 or dist.is_initialized():
        yield
        return
    parted = outlive_no_parent() if launch.manner == "torchrun" else threading.Event()
    _watch = _meet(launch, timeout)
    if launch.rank:
        logging.disable(logging.WARNING)  # rank 0 says it
    try:
        try:
            yield
        except Stopped:
            _part()
            raise
        _part()
    except PeerLost as lost:
        if _watch is None or not _watch.done:
            raise
        logging.getLogger(__name__).warning("%s, after the run was finished: nothing is lost", lost)
    except Stopped:
        raise
    except dist.DistError as error:  # from a collective operation of torch's own, such as its SyncBatchNorm
        raise _explain(error) from error
    except BaseException as error:
        _end_after(error)
        raise
    finally:
        logging.disable(logging.NOTSET)
        _watch.stop()
        _watch = None
        parted.set()
        if not torch.cuda.is_available():  # nccl's clean-up would wait for the dead
            dist.destroy_process_group()


def on_exit(note: Callable[[PeerLost], None]) -> None:
    """What to do before this process is ended because it waits for a dead one."""
    if _watch is not None:
        _watch.on_exit = note


def done() -> None:
    """The results are stored: from now on another rank's death is no failure of the run. Call it on all ranks."""
    if _watch is not None:
        _watch.done = True


def sum_(tensor: Tensor) -> Tensor:
    """Sum over ranks, in place; the same bits on every rank."""
    return _reduce(tensor, dist.ReduceOp.SUM)


def min_(tensor: Tensor) -> Tensor:
    """The smallest over ranks, element by element, in place."""
    return _reduce(tensor, dist.ReduceOp.MIN)


def gather(tensor: Tensor) -> Tensor:
    """(…) of each rank → (ranks, …) on every rank; the shapes must be equal."""
    if size() == 1:
        return tensor[None]
    result = tensor.new_empty(size(), *tensor.shape)
    with _peers():
        dist.all_gather(list(result), tensor.contiguous())
    return result


def gather_rows(tensor: Tensor) -> Tensor:
    """(n, …) of each rank → (Σ n, …) on every rank, in the order of ranks; n may differ and be 0.

    Of what a loader without training gives, batch by batch, this is the very batch of one rank, in its order.
    """
    if size() == 1:
        return tensor
    counts = gather(torch.tensor(len(tensor))).tolist()
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
    padded[: len(tensor)] = tensor
    return torch.cat([part[:count] for part, count in zip(gather(padded), counts, strict=True)])


def gather_objects(value: T) -> list[T]:
    """What each rank gives, in the order of ranks. For small things: they are pickled."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    with _peers():
        dist.all_gather_object(values, value)
    return values


def from_main(action: Callable[[], T]) -> T:
    """Do something on rank 0 alone and give every rank its result; a UserError there is raised everywhere."""
    if size() == 1:
        return action()
    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome = [action(), None]
        except UserError as error:
            outcome = [None, error]
    mine = outcome[1]
    with _peers():
        dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise mine or outcome[1]
    return outcome[0]


def together(action: Callable[[], T]) -> T:
    """Do the same on every rank, and go on only if it succeeded on all: one rank's UserError is raised everywhere."""
    mine, value = None, None
    try:
        value = action()
    except UserError as error:
        mine = error
    errors = gather_objects(mine and str(mine))
    if mine is not None:
        raise mine
    for number, text in enumerate(errors):
        if text is not None:
            raise UserError(f"rank {number}: {text}")
    return value  # type: ignore[return-value]


def heard(word: str, *, say: bool) -> bool:
    """Whether any rank has said this word; `say` says it. Nobody waits, so the ranks may hear of it one after the other."""
    return say if _watch is None else _watch.heard(word, say=say)


def max_later(number: int) -> Callable[[], int]:
    """The largest over ranks of a whole number: a function that waits for it, so that other work goes on meanwhile."""
    tensor = torch.tensor([number])
    if size() == 1:
        return lambda: number
    with _peers():
        work = dist.all_reduce(tensor, op=dist.ReduceOp.MAX, async_op=True)

    def wait() -> int:
        with _peers():
            work.wait()
        return int(tensor)

    return wait


def _meet(launch: Launch, timeout: float) -> Watch:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        watch, group = meet(launch, timeout=timeout)
        dist.init_process_group(backend, store=group, rank=launch.rank, world_size=launch.size, timeout=_PATIENCE)
    except RuntimeError as error:
        where = f"{launch.address}:{launch.port}"
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"rank {launch.rank} of {launch.size} cannot meet the others at {where} ({reason}); "
            "MASTER_PORT=… chooses another port."
        ) from error
    return watch


def _part() -> None:
    """Leave together: nobody is to be taken for dead who has only finished earlier, nor to miss the store of rank 0."""
    gather_objects(None)
    if _watch is not None:
        _watch.stop()
    gather_objects(None)


def _end_after(error: BaseException) -> None:
    """This rank has failed by itself: tell the others why, and see to it that nothing keeps this process from ending."""
    _prepare_to_end()
    if _watch is not None:
        _watch.post(error, exit_code=2 if is_one_line(error) else 1)


def _prepare_to_end() -> None:
    if threading.current_thread() is threading.main_thread():
        # torchrun sends it to the ranks that are left as soon as one has ended: it would cut off what this one has to say
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if torch.cuda.is_available():  # nccl may wait for the dead even when Python has ended
        faulthandler.dump_traceback_later(3 * GRACE, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115


@contextlib.contextmanager
def _peers() -> Iterator[None]:
    """What goes wrong between processes is most often that one has died: then say which."""
    try:
        yield
    except RuntimeError as error:
        raise _explain(error) from error


def _explain(error: RuntimeError) -> Exception:
    lost = _watch.find() if _watch is not None else None
    _prepare_to_end()
    return lost or error


def _reduce(tensor: Tensor, operation: Any) -> Tensor:
    if size() > 1:
        with _peers():
            dist.all_reduce(tensor, op=operation)
    return tensor
