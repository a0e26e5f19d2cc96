"""One module for each rule; each exports `RULE`."""
