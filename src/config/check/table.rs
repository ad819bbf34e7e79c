//! A table of the configuration as a struct: each key once, with its type and how it is read.

/// A struct with a field for each key; its `read`, which takes them from a `Section`, reports what is wrong, and puts the default in its
/// place; and its `Default`. After the name stand the table, the name of the section, and what else the reading takes, with what it is
/// by default.
macro_rules! table {
    ($(#[$attribute:meta])* pub $name:ident[$table:literal]($s:ident $(, $with:ident: $of:ty = $none:expr)*) {
        $($(#[$doc:meta])* $field:ident: $type:ty = $read:expr,)*
    }) => {
        $(#[$attribute])*
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl $name {
            pub(super) fn read($s: &$crate::config::section::Section $(, $with: $of)*) -> Self {
                Self { $($field: $read,)* }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let table = $crate::config::raw::Table::new();
                let problems = $crate::config::problems::Problems::new(Vec::new());
                Self::read(&$crate::config::section::Section::empty($table, &table, &problems) $(, $none)*)
            }
        }
    };
}

pub(super) use table;
