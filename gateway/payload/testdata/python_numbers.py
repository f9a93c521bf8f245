"""Writes numbers.txt: texts of JSON numbers, the bits that Python and NumPy read, and how they are written again.

Run it with the Python environment that `make setup` builds: python python_numbers.py > numbers.txt
A line: the text, the bits of float(text) and of numpy.float32(float(text)) in hexadecimal, json.dumps of both ("null" for what is not finite).
"""

import json
import math
import random
import struct
import warnings
from decimal import Decimal, getcontext

import numpy as np

warnings.simplefilter("ignore")  # overflow to infinity is one of the cases
getcontext().prec = 1200
random.seed(20)

texts = """0.0 -0.0 0e0 1e0 0.1 0.2 0.3 0.30000001192092896 1e22 1e23 9007199254740992.0 9007199254740993.0 9007199254740992.5 9007199254740993.5
4.9406564584124654e-324 2.4703282292062327e-324 2.4703282292062328e-324 2.2250738585072011e-308 2.2250738585072014e-308
1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 1e308 1e309 1e-400 1e400 -1e400
8.41e21 9.5e-7 1.0000000000000002 1.00000000000000011102230246251565 1.00000000000000011102230246251566 5e-324 123456789012345678901234567890.0
3.4028234663852886e38 3.4028235677973366e38 3.4028235677973367e38 1.1754943508222875e-38 1.401298464324817e-45 7.006492321624085e-46 7.006492321624086e-46
16777217.0 16777219.0 1.00000005960464477539062500000000000001 1.000000059604644775390625 0.1e-1 1E5 1e+5 1.5E-0007
0.000001 0.0001 0.00009999999999999999 1e15 1e16 9999999999999998.0 123456789.123456789 0.999999999999999999999999999999""".split()


def halfway(bits):
    """The exact decimal between two neighbours, and its neighbours in the last digit."""
    low, high = (Decimal(struct.unpack("<d", struct.pack("<Q", b))[0]) for b in (bits, bits + 1))
    middle = format((low + high) / 2, "e")
    digits, exponent = middle.split("e")
    return [middle, digits + "1e" + exponent, digits[:-1] + str(int(digits[-1]) - 1) + "9e" + exponent]


for _ in range(40):
    texts += [t for t in halfway(random.getrandbits(62)) if len(t) < 400]
for _ in range(150):
    f = struct.unpack("<d", struct.pack("<Q", random.getrandbits(64)))[0]
    if math.isfinite(f):
        texts += [repr(f), f"{f:.16e}", f"{f:.20e}"]
for _ in range(100):
    f = np.frombuffer(struct.pack("<I", random.getrandbits(32)), dtype=np.float32)[0]
    if np.isfinite(f):
        texts += [str(f), repr(float(f))]
        between = (Decimal(float(f)) + Decimal(float(np.nextafter(f, np.float32(np.inf))))) / 2
        if between.is_finite():
            texts += [format(between, "e"), format(between, "e").replace("e", "00000000000000000001e")]
for _ in range(100):
    texts += [f"{random.random()}", f"{random.uniform(-1e6, 1e6):.6f}", f"{random.randint(0, 10**18)}.{random.randint(0, 999)}"]

for text in texts:
    f = json.loads(text)
    f = float(f)
    g = np.float32(f)
    shown = [json.dumps(x) if math.isfinite(x) else "null" for x in (f, float(g))]
    print(text, struct.pack(">d", f).hex(), g.tobytes()[::-1].hex(), *shown)
