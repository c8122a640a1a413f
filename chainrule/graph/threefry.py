"""The constants of Threefry-2x32 with 20 rounds, by which ``random_bits`` is defined.

Reference: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

BLOCKS = 5
"""Of four rounds each; after each, the next two words of the key and its number are added."""

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""By how many bits the second word is rotated, in the rounds of even and of odd blocks."""

PARITY = 0x1BD11BDA
"""The third word of the key is this, xor the first two."""
