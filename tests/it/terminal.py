"""Runs a program in a terminal of 100 columns and 30 lines. After each text that the screen shows it presses keys. Prints
the last screen, and ends as the program does.

    terminal.py PROGRAM "ARGUMENTS" TEXT KEYS TEXT KEYS ...
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

WIDTH, HEIGHT = 100, 30
LIMIT = 60
TOKEN = re.compile(r"\x1b\[([?>0-9;]*)([A-Za-z])|\x1b[^\[]|(.)", re.DOTALL)
UNFINISHED = re.compile(r"\x1b(\[[?>0-9;]*)?$")


class Screen:
    """What a terminal shows: enough of one for programs that say where they write."""

    def __init__(self):
        self.rest = ""
        self.is_restored = False
        self.clear()

    def clear(self):
        self.cells = [[" "] * WIDTH for _ in range(HEIGHT)]
        self.x = self.y = 0

    def take(self, text):
        text = self.rest + text
        unfinished = UNFINISHED.search(text)
        self.rest = unfinished.group() if unfinished else ""
        for numbers, letter, sign in TOKEN.findall(text[: len(text) - len(self.rest)]):
            if letter == "H":
                line, _, column = numbers.partition(";")
                self.y, self.x = int(line or 1) - 1, int(column or 1) - 1
            elif letter == "J":
                self.clear()
            elif letter == "l" and numbers == "?1049":
                self.is_restored = True
            elif sign == "\r":
                self.x = 0
            elif sign == "\n":
                self.y = min(self.y + 1, HEIGHT - 1)
            elif sign and self.x < WIDTH and self.y < HEIGHT:
                self.cells[self.y][self.x] = sign
                self.x += 1

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.cells)


def main():
    program, arguments, steps = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(program, [program, *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    screen, shown, until = Screen(), "", time.time() + LIMIT
    while True:
        if time.time() > until:
            sys.exit(f"not in time: {steps[:1]} after\n{screen.text()}")
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got = os.read(terminal, 65536)
            except OSError:
                got = b""
            if not got:
                break
            screen.take(got.decode(errors="replace"))
            if not screen.is_restored:
                shown = screen.text()
        # Words that a line of the screen has broken are whole again.
        if steps and " ".join(steps[0].split()) in " ".join(screen.text().split()):
            print(f"=== {steps[0]}\n{screen.text()}", file=sys.stderr)
            os.write(terminal, steps[1].encode().decode("unicode_escape").encode())
            steps = steps[2:]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(shown + ("\n<restored>" if screen.is_restored else ""))
    sys.exit(code if not steps else f"keys are left: {steps}")


main()
