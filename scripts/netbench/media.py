"""What is sent: a clip whose pictures carry their number, and a voice; made once by ffmpeg.

The number stands in twelve cells along the top, black or white: ten bits of Gray code, their parity,
and its inverse. A number that was not read right is almost never taken for another.
"""
import os
import subprocess

SECONDS, FPS = 20, 30
FRAMES = SECONDS * FPS
BITS, CELLS = 10, 12
CELLS_IN_WIDTH = 20
BLACK, WHITE, GREY = 16, 235, 128


def prepare(folder, clip, voice, size):
    """The paths of a stamped y4m of that size and of a wav; both last SECONDS."""
    os.makedirs(folder, exist_ok=True)
    sound = f"{folder}/voice.wav"
    pictures = f"{folder}/stamped-{size[0]}x{size[1]}.y4m"
    if not os.path.exists(sound):
        ffmpeg(voice, ["-ar", "48000", "-ac", "1"], sound)
    if not os.path.exists(pictures):
        plain = f"{folder}/plain.y4m"
        scale = f"scale={size[0]}:{size[1]},fps={FPS},format=yuv420p"
        ffmpeg(clip, ["-an", "-vf", scale], plain)
        stamp_file(plain, pictures + ".part")
        os.remove(plain)
        os.rename(pictures + ".part", pictures)
    return pictures, sound


def ffmpeg(source, options, target):
    """Reads a file again and again until there is enough of it."""
    loop = ["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", source, "-t", str(SECONDS)]
    subprocess.run([*loop, *options, target], check=True)


def stamp_file(source, target):
    """Writes each picture's number into it."""
    with open(source, "rb") as plain, open(target, "wb") as stamped:
        head = plain.readline()
        stamped.write(head)
        fields = {field[:1]: field[1:] for field in head.split()[1:]}
        width, height = int(fields[b"W"]), int(fields[b"H"])
        number = 0
        while plain.readline():
            picture = bytearray(plain.read(width * height * 3 // 2))
            if len(picture) < width * height * 3 // 2:
                break
            stamp(picture, width, height, number)
            stamped.write(b"FRAME\n")
            stamped.write(picture)
            number += 1


def stamp(picture, width, height, number):
    """Writes a number into an I420 picture."""
    gray = number ^ (number >> 1)
    bits = [(gray >> bit) & 1 for bit in range(BITS)]
    parity = sum(bits) & 1
    bits += [parity, 1 - parity]
    side = width // CELLS_IN_WIDTH
    rows = side // 16 * 16 or 16
    line = b"".join(bytes([WHITE if bit else BLACK]) * side for bit in bits)
    for row in range(rows):
        picture[row * width : row * width + len(line)] = line
    grey = bytes([GREY]) * (len(line) // 2)
    for plane in (width * height, width * height * 5 // 4):
        for row in range(rows // 2):
            at = plane + row * width // 2
            picture[at : at + len(grey)] = grey


def read_number(cell):
    """The number, from how bright each cell is; None when it cannot be read."""
    gray = parity = 0
    for index in range(CELLS):
        bright = cell(index)
        if 86 < bright < 166:
            return None
        bit = bright > 126
        if index < BITS:
            gray |= bit << index
            parity ^= bit
        elif bit != (parity if index == BITS else not parity):
            return None
    number = 0
    while gray:
        number ^= gray
        gray >>= 1
    return number if number < FRAMES else None
