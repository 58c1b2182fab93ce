"""Shape annotations such as `Float[Tensor, "B T"]`.

They come from jaxtyping, and tests check them. Training machines may lack it; there they are plain `Tensor`.
"""

try:
    from jaxtyping import Bool, Float, Int, Real
except ImportError:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]

    Bool = Float = Int = Real = _Unchecked

__all__ = ["Bool", "Float", "Int", "Real"]
