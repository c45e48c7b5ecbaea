//! Nothing: the recipe is in `tests`.
