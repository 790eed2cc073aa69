package consumer

import "testing"

func TestR2_Windows(t *testing.T) { scenarios(t, "R2_windows") }

func TestR3_CreatedAtIsClamped(t *testing.T) { scenarios(t, "R3_created_at") }

func TestR4_OneWinnerForEachEntityAndWindow(t *testing.T) { scenarios(t, "R4_single") }

func TestR6_ParentsFirst(t *testing.T) { scenarios(t, "R6_parents_first") }

func TestR7_OneHolder(t *testing.T) { scenarios(t, "R7_held") }

func TestR8_Grace(t *testing.T) { scenarios(t, "R8_grace") }
