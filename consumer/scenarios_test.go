package consumer

import "testing"

func TestR1_Parents(t *testing.T) { scenarios(t, "R1_parents") }

func TestR2_Windows(t *testing.T) { scenarios(t, "R2_windows") }

func TestR3_CreatedAtIsClamped(t *testing.T) { scenarios(t, "R3_created_at") }

func TestR4_OneWinnerForEachEntityAndWindow(t *testing.T) { scenarios(t, "R4_single") }

func TestR5_Carry(t *testing.T) { scenarios(t, "R5_carry") }

func TestR6_ParentsFirst(t *testing.T) { scenarios(t, "R6_parents_first") }

func TestR7_OneHolder(t *testing.T) { scenarios(t, "R7_held") }

func TestR8_Grace(t *testing.T) { scenarios(t, "R8_grace") }

func TestR10_LiveParents(t *testing.T) { scenarios(t, "R10_live_parents") }

func TestR12_Retries(t *testing.T) { scenarios(t, "R12_retries") }

func TestR13_PermanentFailures(t *testing.T) { scenarios(t, "R13_permanent") }

func TestR15_Expiry(t *testing.T) { scenarios(t, "R15_expiry") }

func TestR17_Cancel(t *testing.T) { scenarios(t, "R17_cancel") }

func TestR19_SlowSystems(t *testing.T) { scenarios(t, "R19_slow") }
