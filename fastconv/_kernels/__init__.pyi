from types import ModuleType

ISAS: tuple[str, ...]

available_isas: tuple[str, ...]
isa: str
activation: dict[str, ModuleType]
conv: dict[str, ModuleType]
group_norm: dict[str, ModuleType]
norm: dict[str, ModuleType]
pointwise: dict[str, ModuleType]
pool: dict[str, ModuleType]
resample: dict[str, ModuleType]
sparse: dict[str, ModuleType]
winograd: dict[str, ModuleType]
