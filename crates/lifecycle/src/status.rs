//! Pod status computation (contract §10).
