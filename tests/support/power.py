"""Power that fails: a program whose files end, when it is cut off, where it had synced them.

`python -m tests.support.power FOLDER PROGRAM ARGUMENTS...` traces the program's calls of fsync and fdatasync (ptrace,
with a seccomp filter, so that other calls cost nothing; no privileges, no file system of its own). SIGUSR1 is the power
failure: the program is killed at once, and each of its files in FOLDER loses what was written after the last sync that
had returned, or, as a real disk may have got to it, a random part of that. Not simulated: that the disk loses the
creation or renaming of files, and syncs that the disk itself only pretends to do.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import struct
import sys
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

# <sys/ptrace.h>, <linux/seccomp.h>, <sys/prctl.h> and the numbers of system calls, of Linux on x86-64.
_TRACEME, _CONT, _GETREGS, _SYSCALL, _SETOPTIONS = 0, 7, 12, 24, 0x4200
_OPTIONS: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x100000  # TRACESYSGOOD, FORK, VFORK, CLONE, SECCOMP, EXITKILL
_SECCOMP_STOP, _SYSCALL_STOP, _WALL = 7, signal.SIGTRAP | 0x80, 0x40000000
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_SYNCS: Final = (74, 75)  # fsync, fdatasync
_RAX, _RDI = 10, 14  # words of user_regs_struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class Power:
    """Runs a program, and knows how much of each of its files is on the disk."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._folder = folder
        # What is there at the start is on the disk. By inode: files are renamed.
        self._synced = {file.stat().st_ino: file.stat().st_size for file in _files(folder)}
        self._syncing: dict[int, tuple[int, int]] = {}  # by thread: inode, and the size when it called
        self._threads: set[int] = set()
        self._has_failed = False
        self._pid = os.fork()
        if self._pid == 0:
            _become(command)

    def run(self) -> int:
        """Until the program has ended; its exit code."""
        code = 0
        while True:
            try:
                thread, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                break
            if not os.WIFSTOPPED(status):
                self._threads.discard(thread)
                code = os.waitstatus_to_exitcode(status) if thread == self._pid else code
            elif thread not in self._threads:  # its first stop: after exec, or as a new thread
                self._threads.add(thread)
                if thread == self._pid:
                    _trace(_SETOPTIONS, thread, _OPTIONS)
                _trace(_CONT, thread)
            else:
                self._go_on(thread, os.WSTOPSIG(status), status >> 16)
        if self._has_failed:
            self._lose()
        return code

    def fail(self, *_: int | FrameType | None) -> None:
        """The power fails now."""
        self._has_failed = True
        os.kill(self._pid, signal.SIGKILL)

    def end(self, *_: int | FrameType | None) -> None:
        """SIGTERM."""
        os.kill(self._pid, signal.SIGTERM)

    def _go_on(self, thread: int, number: int, event: int) -> None:
        if number == _SYSCALL_STOP:  # the sync returns
            inode, size = self._syncing.pop(thread, (0, 0))
            if _registers(thread)[_RAX] == 0:
                self._synced[inode] = size
            _trace(_CONT, thread)
        elif number == signal.SIGTRAP and event == _SECCOMP_STOP:
            file = os.stat(f"/proc/{thread}/fd/{_registers(thread)[_RDI]}")
            self._syncing[thread] = file.st_ino, file.st_size
            _trace(_SYSCALL, thread)
        else:
            _trace(_CONT, thread, 0 if number == signal.SIGTRAP else number)

    def _lose(self) -> None:
        for file in _files(self._folder):
            size, kept = file.stat().st_size, self._synced.get(file.stat().st_ino, 0)
            if size > kept:
                left = random.choice((kept, random.randint(kept, size)))
                print(f"lost {size - left} of {size} bytes of {file.name}", flush=True)
                os.truncate(file, left)


def _become(command: list[str]) -> NoReturn:
    """In the forked process: traced, with a filter that stops it at syncs."""
    jumps = [(0x15, len(_SYNCS) - place, 0, number) for place, number in enumerate(_SYNCS)]  # to the last instruction
    code = [(0x20, 0, 0, 0), *jumps, (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FF00000)]  # load, allow, trace
    raw = b"".join(struct.pack("HBBI", *each) for each in code)
    _trace(_TRACEME, 0)
    program = _Program(len(code), raw)
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        os._exit(71)
    os.execv(command[0], command)


def _registers(thread: int) -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(27 * 8)
    _trace(_GETREGS, thread, ctypes.addressof(buffer))
    return struct.unpack("27Q", buffer.raw)


def _trace(request: int, thread: int, data: int = 0) -> None:
    """ptrace; a thread that was killed meanwhile is told of by waitpid."""
    if _libc.ptrace(request, thread, None, data) == -1 and (number := ctypes.get_errno()) != 3:  # ESRCH
        raise OSError(number, os.strerror(number))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def main() -> None:
    """Run a program with power that may fail."""
    power = Power(Path(sys.argv[1]), sys.argv[2:])
    signal.signal(signal.SIGUSR1, power.fail)
    signal.signal(signal.SIGTERM, power.end)
    sys.exit(power.run())


if __name__ == "__main__":
    main()
