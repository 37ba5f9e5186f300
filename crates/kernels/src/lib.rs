//! Fused operators as a Burn backend extension, each with a composition of plain operators beside it.
