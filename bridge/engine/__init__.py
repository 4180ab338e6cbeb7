"""The rules of iii: who offers what, who calls whom, and which job a call belongs to. No I/O."""
