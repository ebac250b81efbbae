//! Deterministic simulation of pod lives under faults
