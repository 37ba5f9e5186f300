"""Prints the golden values of src/random.rs from an independent ChaCha8 (RFC 8439's rounds, 8 of them; 64-bit counter).

    python chacha8.py
"""

import math
import struct

MASK = 0xFFFFFFFF


def block(key, counter):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter & MASK, counter >> 32, 0, 0]
    x = state[:]

    def quarter(a, b, c, d):
        for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[first] = (x[first] + x[second]) & MASK
            x[third] ^= x[first]
            x[third] = ((x[third] << turn) | (x[third] >> (32 - turn))) & MASK

    for _ in range(4):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return [(a + b) & MASK for a, b in zip(x, state)]


def stream(seed, index, purpose):
    key = struct.pack("<QQQ", seed, index, purpose) + b"learngen"
    counter = 0
    while True:
        words = block(key, counter)
        for low, high in zip(words[::2], words[1::2]):
            yield low | high << 32
        counter += 1


def uniform(bits):
    return (next(bits) >> 11) / 2**53


def below(bits, n):
    while True:
        product = next(bits) * n
        if product % 2**64 >= 2**64 % n:
            return product >> 64


def permutation(bits, n):
    order = list(range(n))
    for last in range(n - 1, 0, -1):
        other = below(bits, last + 1)
        order[last], order[other] = order[other], order[last]
    return order


bits = stream(7, 11, 5)
print("bits       ", [hex(next(bits)) for _ in range(10)])
bits = stream(7, 11, 5)
print("uniform    ", [repr(uniform(bits)) for _ in range(2)])
bits = stream(7, 11, 5)
normals = []
for _ in range(2):
    radius, angle = math.sqrt(-2 * math.log(1 - uniform(bits))), 2 * math.pi * uniform(bits)
    normals += [radius * math.cos(angle), radius * math.sin(angle)]
print("normal     ", normals)
print("permutation", permutation(stream(7, 11, 2), 12))
