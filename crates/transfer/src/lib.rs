//! Taking a model apart and putting it together: inspect, assemble, new tailors.
