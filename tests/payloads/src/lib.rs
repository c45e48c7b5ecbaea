//! Values of all shapes that serde knows, by chance.

mod any;
pub mod shapes;

pub use self::any::{Any, seeded};
