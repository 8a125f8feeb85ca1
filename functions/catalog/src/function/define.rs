//! One form for the definition of a function whose methods are plain values.

/// Defines a function of the catalog by what is its own. It ends with `state: |options| …`, an empty
/// [`State`](crate::function::State) as [`Function::state`](crate::function::Function::state) gives it, or with
/// `compute: |call| …`, its [`Function::compute`](crate::function::Function::compute).
macro_rules! define {
    (
        $(#[$doc:meta])*
        pub struct $struct:ident {
            name: $name:expr,
            $(aliases: $aliases:expr,)?
            kind: $kind:ident,
            $(section: $section:ident,)?
            args: $args:expr,
            returns: $returns:expr,
            short: $short:expr,
            long: $long:expr,
            examples: $examples:expr,
            tolerance: $tolerance:expr,
            $how:ident: |$call:ident| $body:expr,
        }
    ) => {
        $(#[$doc])*
        pub struct $struct;

        impl $crate::function::Function for $struct {
            fn name(&self) -> &'static str {
                $name
            }

            $(fn aliases(&self) -> &'static [&'static str] {
                $aliases
            })?

            fn kind(&self) -> $crate::function::Kind {
                $crate::function::Kind::$kind
            }

            $(fn section(&self) -> $crate::function::Section {
                $crate::function::Section::$section
            })?

            fn args(&self) -> &'static [$crate::function::Arg] {
                const ALL: &[$crate::function::Arg] = $args;
                ALL
            }

            fn returns(&self) -> $crate::function::Type {
                $returns
            }

            fn short(&self) -> &'static str {
                $short
            }

            fn long(&self) -> &'static str {
                $long
            }

            fn examples(&self) -> Vec<$crate::function::Example> {
                $examples
            }

            fn tolerance(&self) -> $crate::function::Tolerance {
                $tolerance
            }

            $crate::function::define! { @$how |$call| $body }
        }
    };
    (@state |$options:ident| $state:expr) => {
        fn compute(
            &self,
            call: &$crate::function::Call<'_>,
        ) -> Result<$crate::function::Column<'static>, $crate::function::Error> {
            $crate::function::compute_by_state(self, call)
        }

        fn state(
            &self,
            $options: &$crate::function::Call<'_>,
        ) -> Result<Option<Box<dyn $crate::function::State>>, $crate::function::Error> {
            $state
        }
    };
    (@compute |$call:ident| $column:expr) => {
        fn compute(
            &self,
            $call: &$crate::function::Call<'_>,
        ) -> Result<$crate::function::Column<'static>, $crate::function::Error> {
            $column
        }
    };
}

pub(crate) use define;
