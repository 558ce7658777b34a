//! Names, types, shapes, units and effects: from trees to a Recipe.

pub mod recipe;
