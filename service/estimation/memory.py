from dataclasses import dataclass
@dataclass(frozen=True)
class Sizes:
    n: int
    dx: int
    dy: int
    m: int
    l: int
def needed_bytes(s, o):
    return 10**11
