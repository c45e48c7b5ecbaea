//! The Rust programs of the README, compiled as documentation tests so that they stay true.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]
