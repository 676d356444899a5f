"""How much of everything a load needs: `figures` says what was measured, `plan` what follows from it."""
