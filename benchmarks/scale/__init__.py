"""How far one learner reaches: fed by stubs, in a simulation, and by real workers on a stub."""
