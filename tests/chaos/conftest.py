from tests.contracts.conftest import cache, ray_executor

__all__ = ["cache", "ray_executor"]
