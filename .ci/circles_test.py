"""Tests of circles.py: python3 -m unittest discover -s .ci -p '*_test.py'"""

import contextlib
import io
import os
import tempfile
import unittest

import circles


def check(files):
    """Checks a crate of these files, and returns what is printed."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            circles.check(os.path.join(folder, "lib.rs"))
        return printed.getvalue().replace(folder + os.sep, "")


class Circles(unittest.TestCase):
    def assert_none(self, files):
        self.assertIn(" 0 circles\n", check(files))

    def test_a_circle_is_printed_with_its_names(self):
        printed = check(
            {
                "lib.rs": "mod a; mod b; mod c;",
                "a.rs": "use crate::b::B; pub struct A(B);",
                "b.rs": "pub struct B; fn f() { super::c::c::<u8>(); }",
                "c.rs": "pub fn c<T>() -> Option<crate::a::A> { None }",
            }
        )
        self.assertEqual(
            printed,
            "a circle of files:\n  a.rs -> b.rs: B\n  b.rs -> c.rs: c\n  c.rs -> a.rs: A\n"
            "lib.rs: 3 arrows between files, 1 circles\n",
        )

    def test_a_parent_that_hands_on_its_children_does_not_need_them(self):
        self.assert_none(
            {
                "lib.rs": "mod a; pub use a::{A, B};",
                "a/mod.rs": "mod b; mod c; pub use self::b::B; pub(crate) use c::C; pub struct A;",
                "a/b.rs": "use super::{A, C}; pub struct B(A, C);",
                "a/c.rs": "pub struct C(crate::A);",
            }
        )

    def test_a_parent_and_a_child_that_use_each_other_are_a_circle(self):
        printed = check(
            {
                "lib.rs": "mod a;",
                "a/mod.rs": "mod b; pub use self::b::B; pub struct A(Vec<B>);",
                "a/b.rs": "pub struct B(Box<super::A>);",
            }
        )
        self.assertIn("  a/b.rs -> a/mod.rs: A\n  a/mod.rs -> a/b.rs: B\n", printed)

    def test_a_name_is_followed_to_the_file_that_defines_it(self):
        printed = check(
            {
                "lib.rs": "mod a; mod b; pub use a::Renamed;",
                "a/mod.rs": "mod deep; pub use deep::{Deep as Renamed, self as other};",
                "a/deep.rs": "pub enum Deep { One } pub fn f() { crate::b::f() }",
                "b.rs": "use crate::Renamed; pub fn f() { let _ = Renamed::One; }",
            }
        )
        self.assertIn("  a/deep.rs -> b.rs: f\n  b.rs -> a/deep.rs: Deep\n", printed)

    def test_a_path_in_a_function_or_a_macro_counts(self):
        printed = check(
            {
                "lib.rs": "mod a; mod b;",
                "a.rs": "use crate::b; pub struct A; fn f() -> u8 { assert!(b::is_b()); 1 }",
                "b.rs": "pub fn is_b() -> bool { use crate::a::A; true }",
            }
        )
        self.assertIn("  a.rs -> b.rs: is_b\n  b.rs -> a.rs: A\n", printed)

    def test_a_module_and_a_function_of_one_name_are_told_apart(self):
        printed = check(
            {
                "lib.rs": "mod a; mod b; pub use a::a;",
                "a.rs": "pub fn a() { crate::b::b() } pub struct A;",
                "b.rs": "pub fn b() { crate::a(); let _ = crate::a::A; }",
            }
        )
        self.assertIn("  b.rs -> a.rs: A, a\n", printed)

    def test_what_a_macro_of_the_module_makes_counts(self):
        printed = check(
            {
                "lib.rs": "mod a; mod b;",
                "a.rs": "make! { Made: u8 } fn f() { crate::b::b() }",
                "b.rs": "pub fn b(made: &crate::a::Made) {}",
            }
        )
        self.assertIn("  b.rs -> a.rs: Made\n", printed)

    def test_tests_comments_and_strings_do_not_count(self):
        self.assert_none(
            {
                "lib.rs": "mod a; mod b; #[cfg(test)] mod c;",
                "a.rs": "use crate::b::B; pub struct A(B);",
                "b.rs": """
                    //! See [`crate::a::A`].
                    /* /* use crate::a::A; */ crate::a::A */
                    pub struct B;
                    const S: (&str, &str, char) = (r#"crate::a::A ""#, "\\"crate::a::A", '"');
                    #[cfg(test)] use crate::a::A;
                    impl B {
                        #[cfg(test)]
                        pub(crate) async fn f(a: crate::a::A) -> [u8; 2] { [0; 2] }
                    }
                    #[cfg(all(test, feature = "f"))]
                    mod tests { use super::*; use crate::a::A; }
                """,
            }
        )

    def test_a_name_after_a_dot_or_of_another_crate_does_not_count(self):
        self.assert_none(
            {
                "lib.rs": "mod a; mod b; pub use other::A as Other;",
                "a.rs": "pub fn a() { crate::b::b() }",
                "b.rs": "pub use crate::a::a; pub fn b() { x.a(); ::a::a(); other::a(); crate::Other }",
            }
        )

    def test_rooms_make_a_circle_though_their_files_do_not(self):
        printed = check(
            {
                "lib.rs": "mod up; mod down;",
                "up/mod.rs": "mod one; pub mod two; pub use one::One;",
                "up/one.rs": "pub struct One;",
                "up/two.rs": "fn f() { crate::down::down() }",
                "down.rs": "pub fn down() -> crate::up::One { todo!() }",
            }
        )
        self.assertIn("a circle of rooms:\n  down -> up: One\n  up -> down: down\n", printed)
        self.assertNotIn("a circle of files", printed)

    def test_a_module_may_say_where_its_file_is(self):
        printed = check(
            {
                "lib.rs": '#[path = "inner/mod.rs"] pub mod __inner; pub struct A; mod own { fn f() { super::__inner::f() } }',
                "inner/mod.rs": "pub fn f() -> crate::A { crate::A }",
            }
        )
        self.assertIn("  inner/mod.rs -> lib.rs: A\n  lib.rs -> inner/mod.rs: f\n", printed)

    def test_a_glob_is_refused(self):
        with self.assertRaisesRegex(circles.Mistake, "does not say what it uses"):
            check({"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::*;", "b.rs": ""})


if __name__ == "__main__":
    unittest.main()
