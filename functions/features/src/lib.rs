//! Online features: Feast's feature server as a Spin component.
