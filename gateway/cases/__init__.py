"""What a case is: its states and its decisions, as frozen values.

The room knows no clock, no database and no guide. It says what may follow what.
"""
