"""Tables of facts about AWS, each with its source and date."""
